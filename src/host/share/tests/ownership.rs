//! The same, about who may do what, and about what files are besides names and bytes.

use super::semantics::the_same;
use super::*;

cases! {
    modes_and_owners: "
        open a f rw|creat 0644
        chmod f 0123 = ok
        stat f
        chmod f 06777
        stat f
        chown f 1000 1001 = ok
        stat f
        chmod f 06755
        write a x
        stat f
        chown f -1 77
        stat f
        chown f 5 -1
        stat f
        mkdir d 0755
        chmod d 02777
        chown d 1000 1000
        stat d
        as 1000 chmod d 0700 = ok
        as 1000 chmod f 0700 = EPERM
        as 1001 open b d/x rw|creat 0644 = EACCES
        as 1000 open b d/x rw|creat 0644 = ok
        stat d/x",
    another_user: "
        mkdir open 0777
        mkdir shut 0755
        mkdir sticky 01777
        mkdir group 02775
        chown group 0 1000
        chmod group 02775
        as 1000 open a open/f rw|creat|excl 0640 = ok
        stat open/f
        as 1000 mkdir open/d 0750 = ok
        as 1000 symlink x open/l
        as 1000 mknod open/fifo 0010600 0 = ok
        stat open/d
        stat open/l
        stat open/fifo
        as 1000 open b shut/f rw|creat 0644 = EACCES
        as 1000 mkdir shut/d 0755 = EACCES
        as 1001 open b open/f r = EACCES
        as 1001 unlink open/f = ok
        as 1000 open c sticky/f rw|creat 0666
        as 1001 unlink sticky/f = EPERM
        as 1001 rename sticky/f sticky/g = EPERM
        as 1001 chmod sticky/f 0600 = EPERM
        as 1001 chown sticky/f 1001 1001 = EPERM
        as 1000 chown sticky/f 1001 -1 = EPERM
        as 1000 open d group/f rw|creat 02755
        stat group/f
        as 1000 mkdir group/d 0755
        stat group/d
        as 1001 open e group/g rw|creat 0644 = EACCES
        chmod group 02777
        as 1001 open e group/g rw|creat 02755
        stat group/g
        as 1000 mknod open/dev 0020600 259 = EPERM
        open s open/suid rw|creat 0644
        chmod open/suid 06777
        as 1000 open t open/suid w
        as 1000 write t data
        stat open/suid
        chmod open/suid 06777
        as 1000 truncate open/suid 2
        stat open/suid
        chmod open/suid 06777
        as 1000 open u open/suid w|trunc
        stat open/suid
        chmod open/suid 04755
        as 1001 read open/suid
        as 1000 open v open/special rw|creat 06755
        stat open/special",
    sizes_and_times: "
        open a f rw|creat 0644
        write a 0123456789
        truncate f 4 = ok
        read f
        truncate f 100000
        read f
        truncate f -1 = EINVAL
        ftruncate a 3
        fstat a
        ftruncate a 9223372036854775807 = EFBIG
        mkdir d 0755
        truncate d 0 = EISDIR
        truncate no 0 = ENOENT
        utimens f 1000 2000 = ok
        times f
        utimens f 0 -5
        times f
        utimens d 4000000000 8000000000
        times d
        as 1000 utimens f 1 1 = EPERM
        chmod f 0444
        ftruncate a 7 = ok
        as 1000 truncate f 1 = EACCES
        fstat a",
    special_files: "
        mknod fifo 0010644 0 = ok
        mknod sock 0140644 0 = ok
        mknod file 0100640 0 = ok
        mknod dev 0020600 259 = ok
        stat fifo
        stat sock
        stat file
        stat dev
        open a fifo w|nonblock = ENXIO
        open a fifo r|nonblock = ok
        open b fifo w|nonblock = ok
        write b piped = 5
        open c sock r = ENXIO
        ls .
        mknod fifo 0010644 0 = EEXIST
        unlink fifo
        unlink sock",
    extended_attributes: "
        open a f rw|creat 0644
        mkdir d 0755
        symlink f l
        getxattr f user.x 100 = ENODATA
        setxattr f user.x value 0 = ok
        setxattr f user.x value 1 = EEXIST
        setxattr f user.y value 2 = ENODATA
        getxattr f user.x 100
        getxattr f user.x 0
        getxattr f user.x 2 = ERANGE
        setxattr f user.empty @ 0
        getxattr f user.empty 10
        setxattr d trusted.t secret 0 = ok
        getxattr d trusted.t 100
        as 1000 getxattr d trusted.t 100 = ENODATA
        setxattr d trusted.overlay.opaque y 0
        listxattr d 1000
        listxattr d 0
        listxattr f 1000
        listxattr f 3 = ERANGE
        setxattr l user.x v 0 = EPERM
        setxattr l trusted.x v 0 = ok
        listxattr l 100
        setxattr f user.big b*2000 0 = ok
        getxattr f user.big 4000
        rmxattr f user.x = ok
        rmxattr f user.x = ENODATA
        listxattr f 1000
        setxattr f bad.name v 0 = EOPNOTSUPP
        as 1000 setxattr f user.z v 0 = EACCES
        listxattr . 100",
    files_without_names: "
        open a . rw|tmp 0640 = ok
        write a data
        fstat a
        linkfd a named = ok
        stat named
        read named
        write a more
        read named
        open b . rw|tmp|excl 0600 = ok
        linkfd b never = ENOENT
        open c no rw|tmp 0600 = ENOENT
        open c . r|tmp 0600 = EINVAL
        as 1000 open d . w|tmp 0600 = ok
        fstat d
        unlink named
        fstat a",
    holes: "
        open a f rw|creat 0644
        fallocate a 0 0 65536 = ok
        fstat a
        pwrite a 0 x*262144
        fallocate a 3 65536 65536 = ok
        pread a 65530 20
        seek a 0 hole = 65536
        seek a 65536 data = 131072
        seek a 0 data = 0
        seek a 300000 data = ENXIO
        fallocate a 1 262144 65536
        fstat a
        fallocate a 16 0 4096 = ok
        pread a 4090 20
        ftruncate a 1048576
        seek a 524288 data
        seek a 262143 hole
        fallocate a 0 0 0 = EINVAL
        fallocate a 0 -1 10 = EINVAL
        open b f r
        fallocate b 0 0 10 = EBADF",
    copies_within: "
        open a f rw|creat 0644
        open b g rw|creat 0644
        write a abc*100000
        copy a 0 b 0 300000 = 300000
        read g
        copy a 299998 b 10 100 = 2
        copy a 400000 b 0 10 = 0
        copy b 0 b 300000 1000
        fstat b
        copy a 0 a 100 1000 = EINVAL
        open c g r
        copy a 0 c 0 10 = EBADF
        pread b 0 20",
}
