/* The calls of Kairos; see docs/abi.md. */
#ifndef KAIROS_H
#define KAIROS_H

#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SYS_kairos_handle_close 4600
#define SYS_kairos_handle_duplicate 4601
#define SYS_kairos_channel_create 4602
#define SYS_kairos_channel_send 4603
#define SYS_kairos_channel_recv 4604
#define SYS_kairos_port_create 4605
#define SYS_kairos_port_bind 4606
#define SYS_kairos_port_wait 4607
#define SYS_kairos_cap_rights_get 4608
#define SYS_kairos_cap_rights_limit 4609
#define SYS_kairos_handle_from_fd 4610
#define SYS_kairos_fd_from_handle 4611
#define SYS_kairos_handle_info 4612
#define SYS_kairos_handle_narrow 4613
#define SYS_kairos_handle_revoke_descendants 4614
#define SYS_kairos_port_unbind 4615
#define SYS_kairos_channel_call 4616
#define SYS_kairos_object_wait_one 4617
#define SYS_kairos_object_wait_many 4618

enum { KAIROS_CHANNEL = 1, KAIROS_PORT = 2, KAIROS_FILE = 3 };

enum {
    KAIROS_RIGHT_READ = 1,
    KAIROS_RIGHT_WRITE = 2,
    KAIROS_RIGHT_TRANSFER = 4,
    KAIROS_RIGHT_DUPLICATE = 8,
    KAIROS_RIGHT_WAIT = 0x10,
    KAIROS_RIGHT_MANAGE = 0x20
};

enum { KAIROS_FD_READ = 1, KAIROS_FD_WRITE = 2, KAIROS_FD_IOCTL = 4, KAIROS_FD_DUP = 8 };

enum { KAIROS_NONBLOCK = 1, KAIROS_RENDEZVOUS = 2, KAIROS_RECV_CLOEXEC = 4 };
enum { KAIROS_CLOEXEC = 1 };
enum { KAIROS_REVOKE_DESCENDANTS = 1 };
enum { KAIROS_READABLE = 1, KAIROS_PEER_CLOSED = 2 };

#define KAIROS_FOR_EVER UINT64_MAX

struct kairos_channel_msg {
    uint64_t bytes;
    uint64_t handles;
    uint32_t num_bytes;
    uint32_t num_handles;
};

struct kairos_port_packet {
    uint64_t key;
    uint32_t observed;
    uint32_t reserved;
};

struct kairos_handle_info {
    uint32_t type;
    uint32_t rights;
    uint32_t object;
    uint32_t reserved;
    uint64_t capability;
};

struct kairos_wait_item {
    int32_t handle;
    uint32_t wanted;
    uint32_t observed;
    uint32_t reserved;
};

#endif
