// SPDX-License-Identifier: Apache-2.0
// tls.h: TLS options, applied to nng's listeners and dialers.
#ifndef NRPC_TLS_H
#define NRPC_TLS_H

#include "nrpc/nrpc.h"

#include <nng/nng.h>

// A deep copy; NULL gives NULL. struct nrpc_tls_options holds it as a pointer to const.
const struct nrpc_tls_options *tls_options_copy(const struct nrpc_tls_options *options);
void tls_options_free(const struct nrpc_tls_options *options);

// Read the files and set up a listener or dialer, which may be running: what connects from now on uses them.
// Nothing to do for a url that does not begin with tls+. On failure what was set before stays.
int tls_stream_listener(nng_stream_listener *listener, const char *url,
                        const struct nrpc_tls_options *options, struct nrpc_status *st);
int tls_stream_dialer(nng_stream_dialer *dialer, const char *url, const struct nrpc_tls_options *options,
                      struct nrpc_status *st);

#endif
