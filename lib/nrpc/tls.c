// SPDX-License-Identifier: Apache-2.0
// tls.c: reads PEM files into nng's TLS configurations.
#include "nrpc/tls.h"

#include "base/mem.h"
#include "nrpc/transport.h"

#include <errno.h>
#include <nng/supplemental/tls/tls.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_MAX = 1 << 20 };

const struct nrpc_tls_options *tls_options_copy(const struct nrpc_tls_options *o)
{
    if (!o)
        return NULL;
    struct nrpc_tls_options *copy = mem_calloc(1, sizeof *copy);
    copy->ca_file = mem_strdup(o->ca_file);
    copy->certificate_file = mem_strdup(o->certificate_file);
    copy->key_file = mem_strdup(o->key_file);
    copy->server_name = mem_strdup(o->server_name);
    return copy;
}

void tls_options_free(const struct nrpc_tls_options *o)
{
    if (!o)
        return;
    free((char *)o->ca_file);
    free((char *)o->certificate_file);
    free((char *)o->key_file);
    free((char *)o->server_name);
    free((struct nrpc_tls_options *)o);
}

// The file as a text to be freed; NULL and *st if it cannot be read.
static char *read_file(const char *path, struct nrpc_status *st)
{
    char what[300];
    snprintf(what, sizeof what, "cannot read %s", path);
    FILE *f = fopen(path, "re");
    if (!f) {
        status_errno(st, errno, what);
        return NULL;
    }
    char *text = mem_alloc(FILE_MAX + 1);
    size_t n = fread(text, 1, FILE_MAX, f);
    text[n] = 0;
    bool failed = ferror(f) != 0;
    fclose(f);
    if (failed || n == FILE_MAX) {
        status_set(st, NRPC_INVALID_ARGUMENT, "%s: %s", what,
                   failed ? "an error of the disk" : "it is too large");
        free(text);
        return NULL;
    }
    return text;
}

static int set_own_certificate(nng_tls_config *config, const struct nrpc_tls_options *o,
                               struct nrpc_status *st)
{
    char what[600];
    snprintf(what, sizeof what, "certificate %s with key %s", o->certificate_file, o->key_file);
    char *certificate = read_file(o->certificate_file, st);
    char *key = certificate ? read_file(o->key_file, st) : NULL;
    int rv = key ? nng_tls_config_own_cert(config, certificate, key, NULL) : 0;
    int code = rv ? transport_error(st, rv, what) : key ? NRPC_OK : st->code;
    free(certificate);
    if (key)
        explicit_bzero(key, strlen(key));
    free(key);
    return code;
}

static int set_ca(nng_tls_config *config, const char *path, struct nrpc_status *st)
{
    char *ca = read_file(path, st);
    if (!ca)
        return st->code;
    int rv = nng_tls_config_ca_chain(config, ca, NULL);
    free(ca);
    return rv ? transport_error(st, rv, path) : NRPC_OK;
}

static int make_config(nng_tls_mode mode, const struct nrpc_tls_options *o, const char *server_name,
                       nng_tls_config **out, struct nrpc_status *st)
{
    nng_tls_config *config;
    int rv = nng_tls_config_alloc(&config, mode);
    if (rv)
        return transport_error(st, rv, "cannot set up TLS");
    int code = NRPC_OK;
    if (o->certificate_file)
        code = set_own_certificate(config, o, st);
    if (code == NRPC_OK && o->ca_file)
        code = set_ca(config, o->ca_file, st);
    if (code == NRPC_OK && ((rv = nng_tls_config_auth_mode(config, o->ca_file ? NNG_TLS_AUTH_MODE_REQUIRED
                                                                              : NNG_TLS_AUTH_MODE_NONE)) ||
                            (server_name && (rv = nng_tls_config_server_name(config, server_name)))))
        code = transport_error(st, rv, "cannot set up TLS");
    if (code) {
        nng_tls_config_free(config);
        return code;
    }
    *out = config;
    return NRPC_OK;
}

static bool is_tls(const char *url)
{
    return !strncmp(url, "tls+", 4);
}

int tls_stream_listener(nng_stream_listener *listener, const char *url, const struct nrpc_tls_options *o,
                        struct nrpc_status *st)
{
    nng_tls_config *config = NULL;
    struct nrpc_status unused = {0};
    st = st ? st : &unused;
    if (!is_tls(url))
        return NRPC_OK;
    if (!o || !o->certificate_file || !o->key_file)
        return status_set(st, NRPC_INVALID_ARGUMENT, "%s: a TLS listener needs a certificate and a key", url);
    int code = make_config(NNG_TLS_MODE_SERVER, o, NULL, &config, st);
    if (code)
        return code;
    int rv = nng_stream_listener_set_ptr(listener, NNG_OPT_TLS_CONFIG, config);
    nng_tls_config_free(config); // the listener has its own reference
    return rv ? transport_error(st, rv, "cannot set up TLS") : NRPC_OK;
}

// The host of tls+tcp://host:port; to be freed.
static char *host_of(const char *url)
{
    const char *host = strstr(url, "://") + 3, *end = strrchr(host, ':');
    size_t n = end ? (size_t)(end - host) : strlen(host);
    if (n >= 2 && host[0] == '[' && host[n - 1] == ']') { // an IPv6 address
        host++;
        n -= 2;
    }
    char *text = mem_alloc(n + 1);
    memcpy(text, host, n);
    text[n] = 0;
    return text;
}

int tls_stream_dialer(nng_stream_dialer *dialer, const char *url, const struct nrpc_tls_options *o,
                      struct nrpc_status *st)
{
    nng_tls_config *config = NULL;
    struct nrpc_status unused = {0};
    st = st ? st : &unused;
    if (!is_tls(url))
        return NRPC_OK;
    if (!o || !o->ca_file)
        return status_set(st, NRPC_INVALID_ARGUMENT, "%s: a TLS client needs to know whom to trust (ca_file)",
                          url);
    char *host = o->server_name ? mem_strdup(o->server_name) : host_of(url);
    int code = make_config(NNG_TLS_MODE_CLIENT, o, host, &config, st);
    free(host);
    if (code)
        return code;
    int rv = nng_stream_dialer_set_ptr(dialer, NNG_OPT_TLS_CONFIG, config);
    nng_tls_config_free(config);
    return rv ? transport_error(st, rv, "cannot set up TLS") : NRPC_OK;
}
