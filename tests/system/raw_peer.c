// SPDX-License-Identifier: Apache-2.0
// raw_peer.c: plain sockets.
#include "system/raw_peer.h"

#include "nrpc/frame.h"

#include <arpa/inet.h>
#include <endian.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int raw_connect(const char *url)
{
    struct sockaddr_in a = {.sin_family = AF_INET};
    struct timeval patience = {10, 0};
    char ip[64];
    unsigned port;
    if (sscanf(url, "tcp://%63[^:]:%u", ip, &port) != 2 || inet_pton(AF_INET, ip, &a.sin_addr) != 1)
        return -1;
    a.sin_port = htons((uint16_t)port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    if (connect(fd, (struct sockaddr *)&a, sizeof a)) {
        close(fd);
        return -1;
    }
    return fd;
}

void raw_hang_up(int fd, bool reset)
{
    struct linger l = {reset, 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &l, sizeof l);
    close(fd);
}

bool raw_write(int fd, const void *data, size_t size)
{
    const char *at = data;
    while (size) {
        ssize_t n = send(fd, at, size, MSG_NOSIGNAL);
        if (n <= 0)
            return false;
        at += n;
        size -= (size_t)n;
    }
    return true;
}

static bool read_all(int fd, void *out, size_t size, int timeout_ms)
{
    char *at = out;
    while (size) {
        struct pollfd p = {fd, POLLIN, 0};
        ssize_t n = poll(&p, 1, timeout_ms) == 1 ? recv(fd, at, size, 0) : -1;
        if (n <= 0)
            return false;
        at += n;
        size -= (size_t)n;
    }
    return true;
}

bool raw_handshake(int fd)
{
    static const uint8_t req[8] = {0, 'S', 'P', 0, 0, 0x30, 0, 0}, rep[8] = {0, 'S', 'P', 0, 0, 0x31, 0, 0};
    uint8_t theirs[8];
    return raw_write(fd, req, 8) && read_all(fd, theirs, 8, 10000) && !memcmp(theirs, rep, 8);
}

bool raw_message(int fd, uint64_t length, const void *data, size_t size)
{
    uint64_t big_endian = htobe64(length);
    return raw_write(fd, &big_endian, 8) && raw_write(fd, data, size);
}

bool raw_request(int fd, uint32_t id, uint32_t ack, const char *method, const void *payload, size_t size)
{
    static uint8_t message[RAW_MAX];
    struct frame f = {.version = NRPC_WIRE_VERSION, .kind = FRAME_REQUEST, .timeout_us = 500000, .ack = ack};
    uint32_t big_endian = htonl(id | 0x80000000u);
    f.method = (struct wire_bytes){(const uint8_t *)method, strlen(method)};
    size_t total = 4 + frame_size(&f, true, size);
    if (total > sizeof message)
        return false;
    memcpy(message, &big_endian, 4);
    uint8_t *room = frame_write(&f, true, size, message + 4);
    if (size)
        memcpy(room, payload, size);
    return raw_message(fd, total, message, total);
}

bool raw_ack(int fd, uint32_t ack)
{
    uint8_t message[40] = {0x80, 0, 0, 0};
    struct frame f = {.version = NRPC_WIRE_VERSION, .kind = FRAME_ACK, .ack = ack};
    frame_write(&f, false, 0, message + 4);
    size_t total = 4 + frame_size(&f, false, 0);
    return raw_message(fd, total, message, total);
}

int raw_receive(int fd, uint8_t out[RAW_MAX], int timeout_ms)
{
    uint64_t length;
    if (!read_all(fd, &length, 8, timeout_ms))
        return -1;
    length = be64toh(length);
    if (length < 4 || length > RAW_MAX || !read_all(fd, out, length, timeout_ms))
        return -1;
    memmove(out, out + 4, length - 4);
    return (int)length - 4;
}
