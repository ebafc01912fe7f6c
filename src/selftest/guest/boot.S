# From the PVH entry to ring 3, the way of every processor; and all that must run in ring 0.
#
# Everything here is plain integer code: on some hosts ring 0 is interpreted, and knows little else.
#
#   boot processor:  start32 (PVH: protected mode, paging off, ebx = start info) --+
#   the others:      start16 (SIPI, copied below 1 MiB) -> ap32 (ebx = 0) ---------+-> enter -> start64 -> ring 3
#
# `mailbox` says with which stacks, TSS and function a processor goes on.

        .section .note.pvh, "a", @note
        .balign 4
        .long 4, 8, 18                  # XEN_ELFNOTE_PHYS32_ENTRY
        .asciz "Xen"
        .quad start32

# ---------------------------------------------------------------------------------------------------------------------
        .section .text.boot, "ax", @progbits

        .code16
        .global start16, start16_end
start16:
        cli
        movw %cs, %ax
        movw %ax, %ds
        lgdtl start16_gdt - start16
        movl %cr0, %eax
        orb $1, %al
        movl %eax, %cr0
        ljmpl $0x18, $ap32
        .balign 4
start16_gdt:
        .word gdt_end - gdt - 1
        .long gdt
start16_end:

        .code32
ap32:
        movl $0x10, %eax
        movl %eax, %ds
        movl %eax, %es
        movl %eax, %ss
        xorl %ebx, %ebx
        jmp enter

        .global start32
start32:
        cli
        cld
        lgdtl gdt_pointer
        # The tables of the boot processor. 16 MiB are mapped, as much as the image can need; ring 3 maps the rest.
        movl $pdpt + 7, pml4
        movl $pd + 7, pdpt
        movl $0x87, %eax
        movl $pd, %edi
1:      movl %eax, (%edi)
        addl $8, %edi
        addl $0x200000, %eax
        cmpl $0x1000087, %eax
        jne 1b
        movl $boot_page + 4096, tss + 4 # RSP0
        movw $104, tss + 102            # where the bitmap is
        movb $0xff, tss_end
        movl $tss, %eax
        movw %ax, gdt + 0x32
        shrl $16, %eax
        movb %al, gdt + 0x34
        movb %ah, gdt + 0x37
enter:
        movl $pml4, %eax
        movl %eax, %cr3
        movl $0x620, %eax               # CR4: PAE, OSFXSR, OSXMMEXCPT
        movl %eax, %cr4
        movl $0xc0000080, %ecx          # EFER.LME
        xorl %edx, %edx
        movl $0x100, %eax
        wrmsr
        movl $0x80010033, %eax          # CR0: PG, WP, NE, ET, MP, PE
        movl %eax, %cr0
        ljmpl $0x08, $start64

        .code64
start64:
        movl $0x10, %eax
        movl %eax, %ds
        movl %eax, %es
        movl %eax, %ss
        movq mailbox, %rsp
        movq mailbox + 8, %rax          # the TSS descriptor is at gdt + selector; its base is the TSS of this processor
        ltrw %ax
        lidtq idt_pointer
        movl %ebx, %edi                 # first argument: start info, or 0
        movq mailbox + 32, %rsi         # second argument
        movl $0x23, %eax
        movl %eax, %ds
        movl %eax, %es
        pushq $0x23
        pushq mailbox + 16              # stack of ring 3
        pushq $0x3002                   # RFLAGS: IOPL 3, interrupts off
        pushq $0x2b
        pushq mailbox + 24              # where to
        iretq

# ---------------------------------------------------------------------------------------------------------------------
# Interrupts. Each processor has a page: 256 counters, one for each vector, then its ring 0 stack.
# The counters of the exceptions are used for other things: see cpu.rs.

        .balign 16
        .global stubs
stubs:
        .set n, 32
        .rept 224
        .balign 16
        pushq $n
        jmp interrupt
        .set n, n + 1
        .endr

interrupt:
        pushq %rax
        pushq %rcx
        movq %rsp, %rax
        andq $-4096, %rax
        movq 16(%rsp), %rcx
        incq (%rax, %rcx, 8)
        cmpl $0xff, %ecx                # a spurious interrupt wants no EOI (SDM 3A, 11.9)
        je 2f
        cmpl $0, 8(%rax)                # x2APIC?
        jne 1f
        movl $0xfee000b0, %eax
        movl $0, (%rax)
2:      popq %rcx
        popq %rax
        addq $8, %rsp
        iretq
1:      pushq %rdx
        movl $0x80b, %ecx
        xorl %eax, %eax
        xorl %edx, %edx
        wrmsr
        popq %rdx
        jmp 2b

# Exceptions. #UD from ring 3 is how it calls ring 0; every other one is the end of the test, and reported from ring 3.
        .balign 16
        .global exceptions
exceptions:
        .set n, 0
        .rept 32
        .balign 16
        .if (n == 8) || ((n >= 10) && (n <= 14)) || (n == 17) || (n == 21) || (n == 29) || (n == 30)
        .else
        pushq $0
        .endif
        pushq $n
        jmp exception
        .set n, n + 1
        .endr

exception:
        cmpl $6, (%rsp)
        jne fault
        cmpl $0x2b, 24(%rsp)            # from ring 3?
        jne fault
        addq $2, 16(%rsp)               # behind the ud2
        cmpl $0, %eax
        je do_wait
        cmpl $1, %eax
        je do_rdmsr
        cmpl $2, %eax
        je do_wrmsr
        cmpl $3, %eax
        je do_rdtsc
        cmpl $4, %eax
        je do_interrupts
        cmpl $5, %eax
        je do_stop
        cmpl $6, %eax
        je do_cpuid
        cmpl $7, %eax
        je do_triple_fault
fault:
        popq %rdi                       # vector
        popq %rsi                       # error code
        movq (%rsp), %rdx               # where
        movq %cr2, %rcx
        movq 8(%rsp), %r8               # code segment: which ring
        movq %rsp, %rax
        andq $-4096, %rax
        leaq 4096(%rax), %rsp
        pushq $0x23
        pushq 16(%rax)                  # slot 2: the stack of ring 3
        pushq $0x3002
        pushq $0x2b
        pushq $fault_report
        iretq

done:   addq $16, %rsp
        iretq

# Waits for an interrupt unless the counter at rdi differs from rsi already.
do_wait:
        cmpq %rsi, (%rdi)
        jne done
        sti
        hlt
        cli
        jmp done
do_rdmsr:                               # ecx -> edx:eax
        rdmsr
        jmp done
do_wrmsr:                               # ecx, edx:esi
        movl %esi, %eax
        wrmsr
        jmp done
do_rdtsc:                               # -> edx:eax. Ring 3 of some hosts reads another clock.
        rdtsc
        jmp done
do_interrupts:                          # edi: 1 on, 0 off
        andl $0xfffffdff, 32(%rsp)
        shll $9, %edi
        orl %edi, 32(%rsp)
        jmp done
do_stop:                                # for good
        cli
        hlt
        jmp do_stop
do_cpuid:                               # esi, ecx -> r8d, r9d, r10d, r11d
        pushq %rbx
        movl %esi, %eax
        cpuid
        movl %eax, %r8d
        movl %ebx, %r9d
        movl %ecx, %r10d
        movl %edx, %r11d
        popq %rbx
        jmp done
do_triple_fault:
        pushq $0
        pushq $0
        lidtq (%rsp)
        pushq $0
        popfq
        movl $0, %eax
        divl %eax
        jmp done

# ---------------------------------------------------------------------------------------------------------------------
        .section .data.boot, "aw", @progbits

        .balign 16
        .global gdt
gdt:    .quad 0
        .quad 0x00af9b000000ffff        # 0x08 ring 0, 64-bit code
        .quad 0x00cf93000000ffff        # 0x10 ring 0, data
        .quad 0x00cf9b000000ffff        # 0x18 ring 0, 32-bit code
        .quad 0x00cff3000000ffff        # 0x20 ring 3, data
        .quad 0x00affb000000ffff        # 0x28 ring 3, 64-bit code
        .quad 0x0000890000002068, 0     # 0x30 TSS of the boot processor; start32 puts its address here
        .fill 2 * 255, 8, 0             # 0x40 and up: of the others
gdt_end:

gdt_pointer:
        .word gdt_end - gdt - 1
        .long gdt
        .balign 8
idt_pointer:
        .word 4095
        .quad idt

        .balign 8
        .global mailbox
mailbox:
        .quad boot_page + 4096          # stack of ring 0
        .quad 0x30                      # TSS selector
        .quad boot_stack_end - 8        # stack of ring 3, as a call leaves it
        .quad main                      # where to
        .quad 0                         # second argument

        .section .bss.boot, "aw", @nobits
        .balign 4096
        .global idt, pml4, boot_page, boot_stack_end
pml4:   .skip 4096
pdpt:   .skip 4096
pd:     .skip 4096
idt:    .skip 4096
tss:    .skip 104                       # the I/O permission bitmap follows: all zeroes, ring 3 may use every port
        .skip 8192
tss_end:
        .skip 1
        .balign 4096
boot_page:
        .skip 4096
        .balign 16
boot_stack:
        .skip 65536
boot_stack_end:
