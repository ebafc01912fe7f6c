//! Reports in the kernel's own formats, one or more of every kind, made up for the tests.

use crate::klog::Kind;

pub struct Sample {
    pub kind: Kind,
    pub title: &'static str,
    /// Without printk's prefixes.
    pub text: &'static str,
}

const fn sample(kind: Kind, title: &'static str, text: &'static str) -> Sample {
    Sample { kind, title, text }
}

pub const SAMPLES: &[Sample] = &[
    sample(
        Kind::Panic,
        "Kernel panic - not syncing: sysrq triggered crash",
        "Kernel panic - not syncing: sysrq triggered crash
CPU: 0 PID: 1 Comm: sh Not tainted 6.12.0 #1
Hardware name: kiln
Call Trace:
 <TASK>
 dump_stack_lvl+0x4d/0x70
 panic+0x107/0x2d0
 sysrq_handle_crash+0x15/0x20
 </TASK>
Kernel Offset: disabled
---[ end Kernel panic - not syncing: sysrq triggered crash ]---",
    ),
    sample(
        Kind::Oops,
        "BUG: kernel NULL pointer dereference, address: 0000000000000000 in foo_write+0x12/0x30 [foo]",
        "BUG: kernel NULL pointer dereference, address: 0000000000000000
#PF: supervisor write access in kernel mode
#PF: error_code(0x0002) - not-present page
PGD 0 P4D 0
Oops: 0002 [#1] PREEMPT SMP NOPTI
CPU: 0 PID: 77 Comm: sh Not tainted 6.12.0 #1
RIP: 0010:foo_write+0x12/0x30 [foo]
Code: 90 90 <c6> 04 25 00 00 00 00 01
RSP: 0018:ffffc90000013e10 EFLAGS: 00010246
Call Trace:
 <TASK>
 vfs_write+0xc0/0x400
 </TASK>
Modules linked in: foo
CR2: 0000000000000000
---[ end trace 0000000000000000 ]---
RIP: 0010:foo_write+0x12/0x30 [foo]
Code: 90 90 <c6> 04 25 00 00 00 00 01
RAX: 0000000000000000 RBX: 0000000000000000 RCX: 0000000000000000
PKRU: 55555554",
    ),
    sample(
        Kind::Oops,
        "Oops: general protection fault, probably for non-canonical address 0xdead000000000122: 0000 [#1] SMP in list_walk+0x43/0x80",
        "Oops: general protection fault, probably for non-canonical address 0xdead000000000122: 0000 [#1] SMP
CPU: 1 UID: 0 PID: 5 Comm: kworker Not tainted 6.12.0 #1
RIP: 0010:list_walk+0x43/0x80
Call Trace:
 <TASK>
 worker_thread+0x3c/0x5a0
 </TASK>
---[ end trace 0000000000000000 ]---",
    ),
    sample(
        Kind::Oops,
        "kernel BUG at mm/slub.c:448! in kfree+0x2a/0x2b",
        "------------[ cut here ]------------
kernel BUG at mm/slub.c:448!
invalid opcode: 0000 [#1] PREEMPT SMP KASAN
CPU: 0 PID: 1 Comm: init Not tainted 6.1.0 #1
RIP: 0010:kfree+0x2a/0x2b
Call Trace:
 <TASK>
 do_exit+0x1/0x2
 </TASK>
---[ end trace 0000000000000000 ]---",
    ),
    sample(
        Kind::Oops,
        "traps: PANIC: double fault, error_code: 0x0",
        "traps: PANIC: double fault, error_code: 0x0
CPU: 0 PID: 9 Comm: sh Not tainted 6.12.0 #1
Call Trace:
 <#DF>
 asm_exc_double_fault+0x1f/0x30
 </#DF>
---[ end trace 0000000000000000 ]---",
    ),
    sample(
        Kind::HardLockup,
        "watchdog: CPU1: Watchdog detected hard LOCKUP on cpu 1 in native_queued_spin_lock_slowpath+0x2a0/0x2c0",
        "watchdog: CPU1: Watchdog detected hard LOCKUP on cpu 1
Modules linked in:
CPU: 1 PID: 20 Comm: migration/1 Not tainted 6.12.0 #1
RIP: 0010:native_queued_spin_lock_slowpath+0x2a0/0x2c0
Call Trace:
 <NMI>
 </NMI>
 _raw_spin_lock+0x29/0x30",
    ),
    sample(
        Kind::SoftLockup,
        "watchdog: BUG: soft lockup - CPU#0 stuck for 22s! [spin:88] in spin+0x5/0x10 [spin]",
        "watchdog: BUG: soft lockup - CPU#0 stuck for 22s! [spin:88]
Modules linked in: spin(O)
CPU: 0 PID: 88 Comm: spin Tainted: G           O       6.12.0 #1
Tainted: [O]=OOT_MODULE
RIP: 0010:spin+0x5/0x10 [spin]
Call Trace:
 <TASK>
 do_one_initcall+0x59/0x240
 </TASK>",
    ),
    sample(
        Kind::RcuStall,
        "rcu: INFO: rcu_preempt self-detected stall on CPU",
        "rcu: INFO: rcu_preempt self-detected stall on CPU
rcu: \t0-....: (20999 ticks this GP) idle=3ac4/1/0x4000000000000000 softirq=310/310 fqs=5249
rcu: \t(t=21000 jiffies g=1005 q=19 ncpus=2)
CPU: 0 PID: 99 Comm: spin Not tainted 6.12.0 #1
RIP: 0010:spin+0x5/0x10
Call Trace:
 <TASK>
 kthread+0xe1/0x110
 </TASK>",
    ),
    sample(
        Kind::RcuStall,
        "rcu: INFO: rcu_sched detected expedited stalls on CPUs/tasks: { 0-... } 6 jiffies s: 85 root: 0x1/.",
        "rcu: INFO: rcu_sched detected expedited stalls on CPUs/tasks: { 0-... } 6 jiffies s: 85 root: 0x1/.
rcu: blocking rcu_node structures (internal RCU debug):
Task dump for CPU 0:
task:kworker/u4:4    state:R  running task     stack:    0 pid:  314 ppid:     2 flags:0x00004008
Workqueue: events_unbound check
Call Trace:
 <TASK>
 worker_thread+0x50/0x3e0
 </TASK>",
    ),
    sample(
        Kind::HungTask,
        "INFO: task kworker/0:1:9 blocked for more than 120 seconds.",
        "INFO: task kworker/0:1:9 blocked for more than 120 seconds.
      Not tainted 6.12.0 #1
\"echo 0 > /proc/sys/kernel/hung_task_timeout_secs\" disables this message.
task:kworker/0:1     state:D stack:0     pid:9     tgid:9     ppid:2      flags:0x00004000
Workqueue: events wait_forever
Call Trace:
 <TASK>
 __schedule+0x3c5/0xb40
 </TASK>

Showing all locks held in the system:
1 lock held by khungtaskd/29:
 #0: ffffffff82f5c5e0 (rcu_read_lock){....}-{1:2}, at: debug_show_all_locks+0x34/0x1b0",
    ),
    sample(
        Kind::HungTask,
        "BUG: workqueue lockup - pool cpus=0 node=0 flags=0x0 nice=0 stuck for 31s!",
        "BUG: workqueue lockup - pool cpus=0 node=0 flags=0x0 nice=0 stuck for 31s!
Showing busy workqueues and worker pools:
workqueue events: flags=0x0
  pwq 2: cpus=0 node=0 flags=0x0 nice=0 active=1 refcnt=2
    in-flight: 9:wait_forever
pool 2: cpus=0 node=0 flags=0x0 nice=0 hung=31s workers=2 idle: 20",
    ),
    sample(
        Kind::Lockdep,
        "WARNING: possible circular locking dependency detected",
        "======================================================
WARNING: possible circular locking dependency detected
6.12.0 #1 Not tainted
------------------------------------------------------
sh/77 is trying to acquire lock:
ffffffff82a3d2e8 (lock_a){+.+.}-{3:3}, at: take_ab+0x1d/0x40

but task is already holding lock:
ffffffff82a3d268 (lock_b){+.+.}-{3:3}, at: take_ab+0x11/0x40

the existing dependency chain (in reverse order) is:

-> #1 (lock_b){+.+.}-{3:3}:
       __mutex_lock+0x9d/0xd00
       take_ba+0x1d/0x40

other info that might help us debug this:

 Possible deadlock scenario(s):

       CPU0                    CPU1
       ----                    ----
  lock(lock_b);
                               lock(lock_a);

 *** DEADLOCK ***

1 lock held by sh/77:
 #0: ffffffff82a3d268 (lock_b){+.+.}-{3:3}, at: take_ab+0x11/0x40

stack backtrace:
CPU: 0 UID: 0 PID: 77 Comm: sh Not tainted 6.12.0 #1
Call Trace:
 <TASK>
 dump_stack_lvl+0x5d/0x80
 </TASK>",
    ),
    sample(
        Kind::Lockdep,
        "WARNING: suspicious RCU usage: kernel/foo.c:12 suspicious rcu_dereference_check() usage!",
        "=============================
WARNING: suspicious RCU usage
6.12.0 #1 Not tainted
-----------------------------
kernel/foo.c:12 suspicious rcu_dereference_check() usage!

other info that might help us debug this:

rcu_scheduler_active = 2, debug_locks = 1
no locks held by sh/77.

stack backtrace:
CPU: 0 PID: 77 Comm: sh Not tainted 6.12.0 #1
Call Trace:
 <TASK>
 foo_show+0x1/0x2
 </TASK>",
    ),
    sample(
        Kind::Lockdep,
        "INFO: possible recursive locking detected",
        "=============================================
[ INFO: possible recursive locking detected ]
4.4.0 #1 Not tainted
---------------------------------------------
stack backtrace:
CPU: 0 PID: 1 Comm: init Not tainted 4.4.0 #1
Call Trace:
 [<ffffffff8134d2ab>] dump_stack+0x4f/0x74",
    ),
    sample(
        Kind::Lockdep,
        "WARNING: lock held when returning to user space!",
        "================================================
WARNING: lock held when returning to user space!
6.12.0 #1 Not tainted
------------------------------------------------
sh/77 is leaving the kernel with locks still held!
1 lock held by sh/77:
 #0: ffffffff82a3d268 (lock_b){+.+.}-{3:3}, at: leave+0x11/0x40",
    ),
    sample(
        Kind::Atomic,
        "BUG: sleeping function called from invalid context at kernel/locking/mutex.c:585",
        "BUG: sleeping function called from invalid context at kernel/locking/mutex.c:585
in_atomic(): 1, irqs_disabled(): 0, non_block: 0, pid: 77, name: sh
preempt_count: 1, expected: 0
CPU: 0 PID: 77 Comm: sh Not tainted 6.12.0 #1
Call Trace:
 <TASK>
 __might_resched+0x1a1/0x270
 </TASK>",
    ),
    sample(
        Kind::Atomic,
        "BUG: scheduling while atomic: sh/77/0x00000002",
        "BUG: scheduling while atomic: sh/77/0x00000002
Modules linked in:
CPU: 0 PID: 77 Comm: sh Not tainted 6.12.0 #1
Call Trace:
 <TASK>
 __schedule_bug+0x64/0x80
 </TASK>",
    ),
    sample(
        Kind::Kasan,
        "BUG: KASAN: slab-out-of-bounds in foo+0x1/0x2",
        "==================================================================
BUG: KASAN: slab-out-of-bounds in foo+0x1/0x2
Write of size 1 at addr ffff888006a1c37b by task sh/77

CPU: 0 PID: 77 Comm: sh Not tainted 6.12.0 #1
Call Trace:
 <TASK>
 foo+0x1/0x2
 </TASK>

Allocated by task 77:
 kasan_save_stack+0x33/0x60

The buggy address belongs to the object at ffff888006a1c300
 which belongs to the cache kmalloc-128 of size 128
Memory state around the buggy address:
>ffff888006a1c300: 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 03
                                                                ^
==================================================================",
    ),
    sample(
        Kind::Kmsan,
        "BUG: KMSAN: uninit-value in bar+0x1/0x2",
        "=====================================================
BUG: KMSAN: uninit-value in bar+0x1/0x2
 bar+0x1/0x2

Uninit was created at:
 slab_post_alloc_hook+0x1/0x2

CPU: 0 PID: 77 Comm: sh Not tainted 6.12.0 #1
=====================================================",
    ),
    sample(
        Kind::Kcsan,
        "BUG: KCSAN: data-race in writer / reader",
        "==================================================================
BUG: KCSAN: data-race in writer / reader

write to 0xffffffffc009a628 of 8 bytes by task 487 on cpu 0:
 writer+0x1/0x2

read to 0xffffffffc009a628 of 8 bytes by task 488 on cpu 1:
 reader+0x1/0x2

Reported by Kernel Concurrency Sanitizer on:
CPU: 1 PID: 488 Comm: sh Not tainted 6.12.0 #1
==================================================================",
    ),
    sample(
        Kind::Kfence,
        "BUG: KFENCE: use-after-free read in baz+0x1/0x2",
        "==================================================================
BUG: KFENCE: use-after-free read in baz+0x1/0x2

Use-after-free read at 0xffff8c3f2e291fff (in kfence-#72):
 baz+0x1/0x2

freed by task 484 on cpu 2 at 35.090195s:
 baz_free+0x1/0x2

CPU: 2 PID: 484 Comm: sh Not tainted 6.12.0 #1
==================================================================",
    ),
    sample(
        Kind::Ubsan,
        "UBSAN: array-index-out-of-bounds in lib/foo.c:12:3",
        "------------[ cut here ]------------
UBSAN: array-index-out-of-bounds in lib/foo.c:12:3
index 5 is out of range for type 'int [4]'
CPU: 0 PID: 1 Comm: swapper/0 Not tainted 6.12.0 #1
Call Trace:
 <TASK>
 __ubsan_handle_out_of_bounds+0x1/0x2
 </TASK>
---[ end trace ]---",
    ),
    sample(
        Kind::Ubsan,
        "UBSAN: shift-out-of-bounds in lib/foo.c:13:4",
        "================================================================================
UBSAN: shift-out-of-bounds in lib/foo.c:13:4
shift exponent 64 is too large for 32-bit type 'int'
Call Trace:
 ubsan_epilogue+0x5/0x40
================================================================================",
    ),
    sample(
        Kind::Refcount,
        "refcount_t: underflow; use-after-free.",
        "------------[ cut here ]------------
refcount_t: underflow; use-after-free.
WARNING: CPU: 0 PID: 77 at lib/refcount.c:28 refcount_warn_saturate+0xba/0x110
Modules linked in:
CPU: 0 PID: 77 Comm: sh Not tainted 6.12.0 #1
RIP: 0010:refcount_warn_saturate+0xba/0x110
Call Trace:
 <TASK>
 foo_put+0x1/0x2
 </TASK>
---[ end trace 0000000000000000 ]---",
    ),
    sample(
        Kind::BadPage,
        "BUG: Bad page state in process sh  pfn:12345",
        "BUG: Bad page state in process sh  pfn:12345
page: refcount:-1 mapcount:0 mapping:0000000000000000 index:0x0 pfn:0x12345
flags: 0x100000000000000(node=0|zone=1)
raw: 0100000000000000 dead000000000100 dead000000000122 0000000000000000
page dumped because: nonzero _refcount
Modules linked in:
CPU: 0 PID: 77 Comm: sh Not tainted 6.12.0 #1
Call Trace:
 <TASK>
 bad_page+0x1/0x2
 </TASK>",
    ),
    sample(
        Kind::BadPage,
        "BUG: Bad rss-counter state mm:00000000abcdef01 type:MM_ANONPAGES val:2",
        "BUG: Bad rss-counter state mm:00000000abcdef01 type:MM_ANONPAGES val:2",
    ),
    sample(
        Kind::Slab,
        "BUG kmalloc-64 (Not tainted): Right Redzone overwritten",
        "=============================================================================
BUG kmalloc-64 (Not tainted): Right Redzone overwritten
-----------------------------------------------------------------------------

0xffff888006a1c340-0xffff888006a1c340 @offset=832. First byte 0x0 instead of 0xcc
Allocated in foo+0x1/0x2 age=0 cpu=0 pid=77
 foo+0x1/0x2
Slab 0xffffea00001a8700 objects=32 used=32 fp=0x0000000000000000 flags=0x100000000000200
Redzone  ffff888006a1c2c0: cc cc cc cc
CPU: 0 PID: 77 Comm: sh Not tainted 6.12.0 #1
Call Trace:
 <TASK>
 check_bytes_and_report+0x1/0x2
 </TASK>
FIX kmalloc-64: Restoring Right Redzone 0xffff888006a1c340-0xffff888006a1c340=0xcc",
    ),
    sample(
        Kind::Kmemleak,
        "kmemleak: 3 new suspected memory leaks (see /sys/kernel/debug/kmemleak)",
        "kmemleak: 3 new suspected memory leaks (see /sys/kernel/debug/kmemleak)",
    ),
    sample(
        Kind::Kmemleak,
        "BUG: memory leak",
        "BUG: memory leak
unreferenced object 0xffff888006a1c300 (size 128):
  comm \"sh\", pid 77, jiffies 4294938035
  backtrace (crc 1234):
    [<ffffffff81234567>] foo+0x1/0x2",
    ),
    sample(
        Kind::Warning,
        "WARNING: CPU: 0 PID: 1 at kernel/foo.c:12 foo_init+0x1/0x2",
        "------------[ cut here ]------------
a message of its own
WARNING: CPU: 0 PID: 1 at kernel/foo.c:12 foo_init+0x1/0x2
Modules linked in:
CPU: 0 PID: 1 Comm: swapper/0 Not tainted 6.12.0 #1
RIP: 0010:foo_init+0x1/0x2
Call Trace:
 <TASK>
 do_one_initcall+0x59/0x240
 </TASK>
irq event stamp: 1000
hardirqs last  enabled at (1000): foo+0x1/0x2
---[ end trace 0000000000000000 ]---",
    ),
    sample(
        Kind::Warning,
        "WARNING: [x > 3] kernel/foo.c:12 at foo_init+0x1/0x2, CPU#1: swapper/0/1",
        "------------[ cut here ]------------
WARNING: [x > 3] kernel/foo.c:12 at foo_init+0x1/0x2, CPU#1: swapper/0/1
Modules linked in:
CPU: 1 UID: 0 PID: 1 Comm: swapper/0 Not tainted 6.19.0 #1
RIP: 0010:foo_init+0x1/0x2
Call Trace:
 <TASK>
 </TASK>
---[ end trace 0000000000000000 ]---",
    ),
    sample(
        Kind::Oom,
        "Out of memory: Killed process 77 (hog) total-vm:1000kB, anon-rss:500kB, UID:0 pgtables:20kB oom_score_adj:0",
        "hog invoked oom-killer: gfp_mask=0x140cca(GFP_HIGHUSER_MOVABLE|__GFP_COMP), order=0, oom_score_adj=0
CPU: 0 PID: 77 Comm: hog Not tainted 6.12.0 #1
Call Trace:
 <TASK>
 dump_header+0x45/0x1b0
 </TASK>
Mem-Info:
active_anon:100 inactive_anon:10000 isolated_anon:0
Tasks state (memory values in pages):
[  pid  ]   uid  tgid total_vm      rss pgtables_bytes swapents oom_score_adj name
[     77]     0    77    25000    12000   200000        0             0 hog
oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),task=hog,pid=77,uid=0
Out of memory: Killed process 77 (hog) total-vm:1000kB, anon-rss:500kB, UID:0 pgtables:20kB oom_score_adj:0",
    ),
    sample(
        Kind::Bug,
        "BUG: Dentry 00000000d9f1eb32{i=1,n=x}  still in use (1) [unmount of tmpfs tmpfs]",
        "BUG: Dentry 00000000d9f1eb32{i=1,n=x}  still in use (1) [unmount of tmpfs tmpfs]",
    ),
];
