// SPDX-License-Identifier: Apache-2.0
// lifetimes.h: who may still call whom, and when what is freed. To be read before anything else in lib/nrpc.
//
// The rule: whoever hands out a callback counts it until it has returned, and its destroy waits until the
// count is 0, or, where it must not wait, the last one that is counted frees it. Nothing is freed by somebody
// who merely knows that "nobody uses it now".
//
//   object        is reached by                    counted in                     its end
//   sp_pipe       nng's operations; threads that   pipe->refs; receiving,         the last of them says
//   closed,
//                 are about to flush it            sending                        then done, then frees it
//   sp_listener   its pipes, greeted or not        listener->pipes, until done    sp_listener_hang_up waits
//   sp_dialer     its pipe                         dialer->pipe, until done       sp_dialer_close waits
//   connection    its dialer's events              the dialer                     endpoints.c, when it is out
//   of
//                                                                                 the channel's list and
//                                                                                 closed
//   nrpc_channel  calls, from before the first     channel->inside                nrpc_channel_close waits
//                 interceptor until after the
//                 last; threads that carry out
//                 streams; what a server is about  channel->refs                  the last frees it
//                 to hand over to a local channel
//   nrpc_server   its listeners' pipes             the listeners                  nrpc_server_destroy waits
//                 its workers                      the pool, destroyed when       nrpc_server_destroy waits
//                                                  nothing can bring it work
//                 calls that are not answered;     server->refs                   the last frees it
//                 local channels; call_child
//   peer          its number only: who gives the   -                              `closed`, or the local
//                 mutex back looks it up again                                    channel's disconnection
//   nrpc_call     its handler, until it answers;   call->refs                     the last frees it
//                 a running on_ready
//   nrpc_stream   its on_ready                     stream->running                nrpc_stream_close waits
//
// A local channel and its server hold each other: the peer refers to the channel until the disconnection, the
// connection to the server until it is freed. Frames that cross the disconnection find no peer, or no call.
#ifndef NRPC_LIFETIMES_H
#define NRPC_LIFETIMES_H
#endif
