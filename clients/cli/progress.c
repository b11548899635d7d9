// SPDX-License-Identifier: Apache-2.0
// progress.c: measures the rate and draws the progress line.
#include "progress.h"

#include "duration.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { BAR = 24, MEASURE_US = 500000, SMOOTH_US = 5000000, COLUMNS = 80 };

void progress_init(struct progress *p, bool on, int64_t now_us)
{
    *p = (struct progress){.on = on, .measured_us = now_us};
}

// The rate of the last seconds: each new measurement counts by how long it took.
static void measure(struct progress *p, uint64_t done, int64_t now_us)
{
    int64_t took_us = now_us - p->measured_us;
    if (took_us < MEASURE_US)
        return;
    double now = (double)(done - p->measured_done) * 1e6 / (double)took_us;
    double weight = p->rate > 0 ? (double)took_us / (double)(SMOOTH_US + took_us) : 1;
    p->rate += (now - p->rate) * weight;
    p->measured_us = now_us;
    p->measured_done = done;
}

static void format_bar(char out[BAR + 4], const struct progress_state *s)
{
    size_t filled = s->total_known && s->total ? (size_t)((double)s->done / (double)s->total * BAR) : 0;
    memset(out, ' ', BAR + 4);
    out[0] = '[';
    memset(out + 1, '#', filled < BAR ? filled : BAR);
    strcpy(out + 1 + BAR, "] ");
}

static size_t add(char *out, size_t size, size_t at, const char *text)
{
    return at + (size_t)snprintf(out + at, size - at, "%s", text);
}

void progress_format(char *out, size_t size, const struct progress_state *s, unsigned columns)
{
    char bar[BAR + 4] = "", text[256], piece[64], left[DURATION_TEXT];
    size_t at = 0;
    if (s->total_known)
        format_bar(bar, s);
    at = add(text, sizeof text, at, bar);
    snprintf(piece, sizeof piece, "%" PRIu64 "/%" PRIu64 "%s", s->done, s->total, s->total_known ? "" : "+");
    at = add(text, sizeof text, at, piece);
    if (s->rate > 0) {
        snprintf(piece, sizeof piece, s->rate < 10 ? "  %.1f/s" : "  %.0f/s", s->rate);
        at = add(text, sizeof text, at, piece);
    }
    if (s->rate > 0 && s->total_known && s->done < s->total) {
        duration_format(left, (int64_t)((double)(s->total - s->done) / s->rate * 1000));
        snprintf(piece, sizeof piece, "  %s left", left);
        at = add(text, sizeof text, at, piece);
    }
    if (s->failed) {
        snprintf(piece, sizeof piece, "  %" PRIu64 " failed", s->failed);
        add(text, sizeof text, at, piece);
    }
    snprintf(out, size, "%.*s", (int)columns, text);
}

static unsigned columns(void)
{
    struct winsize size;
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) || size.ws_col < 2 ? COLUMNS : size.ws_col;
}

void progress_draw(struct progress *p, struct progress_state state, int64_t now_us)
{
    measure(p, state.done, now_us);
    if (!p->on || now_us - p->drawn_us < PROGRESS_EVERY_MS * 1000)
        return;
    char line[256];
    state.rate = p->rate;
    progress_format(line, sizeof line, &state, columns() - 1);
    fprintf(stderr, "\r%s\033[K", line);
    fflush(stderr);
    p->shown = true;
    p->drawn_us = now_us;
}

void progress_hide(struct progress *p)
{
    if (p->shown)
        fputs("\r\033[K", stderr);
    p->shown = false;
}
