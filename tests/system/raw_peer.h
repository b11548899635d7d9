// SPDX-License-Identifier: Apache-2.0
// raw_peer.h: a TCP peer that can say anything: SP handshakes and messages byte by byte, right or wrong.
#ifndef TESTS_RAW_PEER_H
#define TESTS_RAW_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { RAW_MAX = 1 << 16 };

int raw_connect(const char *url); // tcp://ip:port; -1: refused
bool raw_handshake(int fd);       // as an SP REQ peer; true: the other side is a REP
void raw_hang_up(int fd, bool reset);

bool raw_write(int fd, const void *data, size_t size);
// An SP message: this length, whatever really follows.
bool raw_message(int fd, uint64_t length, const void *data, size_t size);
// A request frame for a method in a well-formed message; ack: how many frames were received so far. Returns
// false if the peer is gone.
bool raw_request(int fd, uint32_t id, uint32_t ack, const char *method, const void *payload, size_t size);
bool raw_ack(int fd, uint32_t ack); // says how many frames were received so far
// Reads one message's body (without the SP id) into out; -1: none within timeout_ms, or the peer is gone.
int raw_receive(int fd, uint8_t out[RAW_MAX], int timeout_ms);

#endif
