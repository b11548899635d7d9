// SPDX-License-Identifier: Apache-2.0
// scalar.c: one table of the types, and how their three kinds are printed and parsed.
#include "nrpc/json/scalar.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum kind { OTHER, REAL, SIGNED, UNSIGNED, BOOL };

static const struct scalar {
    enum pbwire_type wire;
    enum kind kind;
    unsigned bits;
    bool is_zigzag;
} scalars[] = {
    [SCHEMA_DOUBLE] = {PBWIRE_64BIT, REAL, 64, false},
    [SCHEMA_FLOAT] = {PBWIRE_32BIT, REAL, 32, false},
    [SCHEMA_INT64] = {PBWIRE_VARINT, SIGNED, 64, false},
    [SCHEMA_UINT64] = {PBWIRE_VARINT, UNSIGNED, 64, false},
    [SCHEMA_INT32] = {PBWIRE_VARINT, SIGNED, 32, false},
    [SCHEMA_FIXED64] = {PBWIRE_64BIT, UNSIGNED, 64, false},
    [SCHEMA_FIXED32] = {PBWIRE_32BIT, UNSIGNED, 32, false},
    [SCHEMA_BOOL] = {PBWIRE_VARINT, BOOL, 1, false},
    [SCHEMA_STRING] = {PBWIRE_BYTES, OTHER, 0, false},
    [SCHEMA_GROUP] = {PBWIRE_GROUP, OTHER, 0, false},
    [SCHEMA_MESSAGE] = {PBWIRE_BYTES, OTHER, 0, false},
    [SCHEMA_BYTES] = {PBWIRE_BYTES, OTHER, 0, false},
    [SCHEMA_UINT32] = {PBWIRE_VARINT, UNSIGNED, 32, false},
    [SCHEMA_ENUM] = {PBWIRE_VARINT, SIGNED, 32, false},
    [SCHEMA_SFIXED32] = {PBWIRE_32BIT, SIGNED, 32, false},
    [SCHEMA_SFIXED64] = {PBWIRE_64BIT, SIGNED, 64, false},
    [SCHEMA_SINT32] = {PBWIRE_VARINT, SIGNED, 32, true},
    [SCHEMA_SINT64] = {PBWIRE_VARINT, SIGNED, 64, true},
};

enum pbwire_type scalar_wire(enum schema_type type)
{
    return scalars[type].wire;
}

// ---- the wire

uint64_t scalar_from_wire(enum schema_type type, uint64_t bits)
{
    const struct scalar *s = &scalars[type];
    if (s->kind == BOOL)
        return bits != 0;
    if (s->bits == 32)
        bits = (uint32_t)bits;
    if (s->is_zigzag)
        bits = (bits >> 1) ^ -(bits & 1);
    return s->kind == SIGNED && s->bits == 32 ? (uint64_t)(int64_t)(int32_t)(uint32_t)bits : bits;
}

uint64_t scalar_to_wire(enum schema_type type, uint64_t value)
{
    const struct scalar *s = &scalars[type];
    if (!s->is_zigzag)
        return value;
    return (value << 1) ^ -(value >> 63);
}

// ---- printing

static double real_of(enum schema_type type, uint64_t value)
{
    if (type == SCHEMA_DOUBLE) {
        double d;
        memcpy(&d, &value, sizeof d);
        return d;
    }
    uint32_t low = (uint32_t)value;
    float f;
    memcpy(&f, &low, sizeof f);
    return (double)f;
}

static bool is_same_real(enum schema_type type, double v, const char *text)
{
    return type == SCHEMA_DOUBLE ? strtod(text, NULL) == v : strtof(text, NULL) == (float)v;
}

// The shortest digits that are read back as the same number, whatever the locale's decimal point.
static bool print_real(enum schema_type type, double v, char *out)
{
    if (isnan(v) || isinf(v)) {
        strcpy(out, isnan(v) ? "NaN" : v > 0 ? "Infinity" : "-Infinity");
        return true;
    }
    int digits = type == SCHEMA_DOUBLE ? 15 : 6;
    do
        snprintf(out, SCALAR_TEXT_MAX, "%.*g", digits++, v);
    while (!is_same_real(type, v, out));
    for (char *c = out; *c; c++)
        if (!strchr("0123456789+-e", *c))
            *c = '.';
    if (v == 0 && signbit(v))
        strcpy(out, "-0.0"); // "-0" is an integer, and those have only one zero
    return false;
}

bool scalar_print(enum schema_type type, uint64_t value, char *out)
{
    const struct scalar *s = &scalars[type];
    if (s->kind == REAL)
        return print_real(type, real_of(type, value), out);
    if (s->kind == BOOL)
        strcpy(out, value ? "true" : "false");
    else if (s->kind == SIGNED)
        snprintf(out, SCALAR_TEXT_MAX, "%" PRId64, (int64_t)value);
    else
        snprintf(out, SCALAR_TEXT_MAX, "%" PRIu64, value);
    return s->bits == 64;
}

// ---- parsing

struct integer {
    bool is_negative;
    uint64_t magnitude;
};

// "-12": what JSON has for an integer, and no more.
static enum scalar_result read_integer(const char *text, struct integer *out)
{
    out->is_negative = *text == '-';
    const char *digits = text + out->is_negative;
    size_t count = strspn(digits, "0123456789");
    if (count == 0 || digits[count] || (count > 1 && *digits == '0'))
        return SCALAR_WRONG;
    errno = 0;
    out->magnitude = strtoull(digits, NULL, 10);
    return errno == ERANGE ? SCALAR_RANGE : SCALAR_OK;
}

static enum scalar_result round_real(double v, struct integer *out)
{
    if (v != trunc(v))
        return SCALAR_WRONG;
    if (fabs(v) >= 0x1p64)
        return SCALAR_RANGE;
    *out = (struct integer){v < 0, (uint64_t)fabs(v)};
    return SCALAR_OK;
}

// A number in a string must be one as JSON writes it.
static enum scalar_result read_real(const json_t *json, double *out)
{
    static const struct {
        const char *text;
        double value;
    } special[] = {{"NaN", NAN}, {"Infinity", INFINITY}, {"-Infinity", -INFINITY}};
    const char *text = json_string_value(json);
    size_t length = json_string_length(json);
    for (size_t i = 0; i < sizeof special / sizeof *special; i++)
        if (strcmp(text, special[i].text) == 0 && strlen(text) == length) {
            *out = special[i].value;
            return SCALAR_OK;
        }
    if (length == 0 || strspn(text, "0123456789+-.eE") != length)
        return SCALAR_WRONG;
    json_error_t error;
    json_t *number = json_loadb(text, length, JSON_DECODE_ANY | JSON_DECODE_INT_AS_REAL, &error);
    if (!number)
        return json_error_code(&error) == json_error_numeric_overflow ? SCALAR_RANGE : SCALAR_WRONG;
    *out = json_real_value(number);
    json_decref(number);
    return SCALAR_OK;
}

static enum scalar_result parse_integer(const json_t *json, struct integer *out)
{
    double v;
    if (json_is_integer(json)) {
        json_int_t n = json_integer_value(json);
        *out = (struct integer){n < 0, n < 0 ? -(uint64_t)n : (uint64_t)n};
        return SCALAR_OK;
    }
    if (json_is_real(json))
        return round_real(json_real_value(json), out);
    if (!json_is_string(json) || json_string_length(json) != strlen(json_string_value(json)))
        return SCALAR_WRONG;
    enum scalar_result result = read_integer(json_string_value(json), out);
    if (result == SCALAR_WRONG && read_real(json, &v) == SCALAR_OK)
        result = round_real(v, out);
    return result;
}

static enum scalar_result fit_integer(const struct scalar *s, struct integer n, uint64_t *value)
{
    uint64_t most = UINT64_MAX >> (64 - s->bits);
    if (s->kind == SIGNED)
        most = (most >> 1) + n.is_negative;
    else if (n.is_negative && n.magnitude > 0)
        return SCALAR_RANGE;
    if (n.magnitude > most)
        return SCALAR_RANGE;
    *value = n.is_negative ? -n.magnitude : n.magnitude;
    return SCALAR_OK;
}

static enum scalar_result parse_real(enum schema_type type, const json_t *json, uint64_t *value)
{
    double v = json_number_value(json);
    enum scalar_result result = SCALAR_OK;
    if (json_is_string(json))
        result = read_real(json, &v);
    else if (!json_is_number(json))
        result = SCALAR_WRONG;
    if (result)
        return result;
    *value = 0;
    if (type == SCHEMA_DOUBLE) {
        memcpy(value, &v, sizeof v);
        return SCALAR_OK;
    }
    float f = (float)v;
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    *value = bits;
    return isinf(f) && !isinf(v) ? SCALAR_RANGE : SCALAR_OK;
}

enum scalar_result scalar_parse(enum schema_type type, const json_t *json, uint64_t *value)
{
    const struct scalar *s = &scalars[type];
    if (s->kind == REAL)
        return parse_real(type, json, value);
    if (s->kind == BOOL) {
        *value = json_is_true(json);
        return json_is_boolean(json) ? SCALAR_OK : SCALAR_WRONG;
    }
    struct integer n;
    enum scalar_result result = parse_integer(json, &n);
    return result ? result : fit_integer(s, n, value);
}

enum scalar_result scalar_parse_key(enum schema_type type, const char *text, uint64_t *value)
{
    const struct scalar *s = &scalars[type];
    if (s->kind == BOOL) {
        *value = strcmp(text, "true") == 0;
        return *value || strcmp(text, "false") == 0 ? SCALAR_OK : SCALAR_WRONG;
    }
    struct integer n;
    enum scalar_result result = read_integer(text, &n);
    return result ? result : fit_integer(s, n, value);
}
