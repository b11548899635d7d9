// SPDX-License-Identifier: Apache-2.0
// names.c: name mangling. Only ASCII: protoc lets nothing else into a name, and the locale must not matter.
#include "names.h"
#include "text.h"

#include <string.h>

static bool is_upper(char c)
{
    return c >= 'A' && c <= 'Z';
}

static bool is_lower(char c)
{
    return c >= 'a' && c <= 'z';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static char to_lower(char c)
{
    return is_upper(c) ? (char)(c - 'A' + 'a') : c;
}

static char to_upper(char c)
{
    return is_lower(c) ? (char)(c - 'a' + 'A') : c;
}

static void add(struct text *t, char c)
{
    text_append(t, &c, 1);
}

// protobuf-c drops underscores and starts a capital after each; empty parts of the name vanish.
char *names_pbc_type(struct arena *a, const char *full_name)
{
    struct text t = {.arena = a};
    text_append(&t, "", 0);
    bool word_starts = true;
    for (const char *c = full_name; *c; c++) {
        if (*c == '.') {
            if (t.length > 0 && c[1] && c[1] != '.')
                text_append(&t, "__", 2);
            word_starts = true;
        } else if (*c == '_') {
            word_starts = true;
        } else {
            add(&t, word_starts ? to_upper(*c) : *c);
            word_starts = false;
        }
    }
    return t.at;
}

// protobuf-c splits words only where a capital follows something else, so "GetURLNow" becomes get_urlnow.
char *names_pbc_lower(struct arena *a, const char *full_name)
{
    struct text t = {.arena = a};
    text_append(&t, "", 0);
    bool was_upper = true;
    for (const char *c = full_name; *c; c++) {
        if (*c == '.') {
            if (t.length > 0 && c[1] && c[1] != '.')
                text_append(&t, "__", 2);
            was_upper = true;
            continue;
        }
        if (is_upper(*c) && !was_upper)
            add(&t, '_');
        add(&t, to_lower(*c));
        was_upper = is_upper(*c);
    }
    return t.at;
}

static bool cut_suffix(char *name, const char *suffix)
{
    size_t length = strlen(name), cut = strlen(suffix);
    if (length < cut || strcmp(name + length - cut, suffix) != 0)
        return false;
    name[length - cut] = '\0';
    return true;
}

char *names_pbc_stem(struct arena *a, const char *proto)
{
    char *stem = arena_strdup(a, proto);
    if (!cut_suffix(stem, ".protodevel"))
        cut_suffix(stem, ".proto");
    return stem;
}

// A capital starts a word after a small letter or digit, and as the last of several capitals before a small
// letter (HTTPServer), unless that letter is only the s of a plural (ListIDs).
static bool starts_word(const char *name, size_t at)
{
    if (at == 0 || !is_upper(name[at]))
        return false;
    char before = name[at - 1], after = name[at + 1];
    if (is_lower(before) || is_digit(before))
        return true;
    bool is_plural = after == 's' && !is_lower(name[at + 2]);
    return is_upper(before) && is_lower(after) && !is_plural;
}

char *names_snake(struct arena *a, const char *name)
{
    struct text t = {.arena = a};
    text_append(&t, "", 0);
    for (size_t i = 0; name[i]; i++) {
        if (starts_word(name, i))
            add(&t, '_');
        add(&t, name[i] == '.' ? '_' : to_lower(name[i]));
    }
    return t.at;
}

char *names_upper(struct arena *a, const char *name)
{
    char *out = arena_strdup(a, name);
    for (char *c = out; *c; c++)
        *c = to_upper(*c);
    return out;
}

char *names_of_file(struct arena *a, const char *stem)
{
    struct text t = {.arena = a};
    text_append(&t, "", 0);
    for (const char *c = stem; *c; c++) {
        if (is_upper(*c) || is_lower(*c) || is_digit(*c))
            add(&t, *c);
        else // in hexadecimal, so that a/b and a_b stay two names
            text_append(&t, text_format(a, "_%02x", (unsigned)(unsigned char)*c), 3);
    }
    return t.at;
}

// Words that C++98 keeps for itself, which has all of C89's: what protobuf-c 1.4 knows of.
static const char old_words[] =
    "and and_eq asm auto bitand bitor bool break case catch char class compl const const_cast continue "
    "default "
    "delete do double dynamic_cast else enum explicit extern false float for friend goto if inline int long "
    "mutable namespace new not not_eq operator or or_eq private protected public register reinterpret_cast "
    "return short signed sizeof static static_cast struct switch template this throw true try typedef typeid "
    "typename union unsigned using virtual void volatile wchar_t while xor xor_eq";

// What C (up to C23) and GNU's preprocessor have besides; what C++ has besides.
static const char c_words[] =
    "alignas alignof constexpr linux nullptr restrict static_assert thread_local typeof "
    "typeof_unqual unix";
static const char cpp_words[] =
    "char16_t char32_t char8_t co_await co_return co_yield concept consteval constinit "
    "decltype export noexcept requires";

static bool has_word(const char *words, const char *word)
{
    size_t length = strlen(word);
    for (; *words; words += strspn(words, " ")) {
        size_t next = strcspn(words, " ");
        if (next == length && memcmp(words, word, length) == 0)
            return true;
        words += next;
    }
    return false;
}

bool names_is_reserved(const char *word)
{
    return names_is_word_of_c(word) || has_word(cpp_words, word);
}

bool names_is_word_of_c(const char *word)
{
    return has_word(old_words, word) || has_word(c_words, word);
}

char *names_pbc_member(struct arena *a, const char *field)
{
    char *member = arena_strdup(a, field);
    for (char *c = member; *c; c++)
        *c = to_lower(*c);
    return has_word(old_words, member) ? text_format(a, "%s_", member) : member;
}
