// SPDX-License-Identifier: Apache-2.0
// registry.c: task types by name: built in, registered by the program, loaded from shared objects.
#include "plugin/registry.h"

#include "base/mem.h"
#include "base/utf8.h"
#include "plugin/command.h"

#include <dlfcn.h>
#include <pthread.h>
#include <string.h>

enum { TYPES_MAX = 1024 };

static pthread_mutex_t mu = PTHREAD_MUTEX_INITIALIZER;
static const struct dtf_task_type *types[TYPES_MAX]; // entries below type_count never change
static size_t type_count;

static const struct dtf_task_type *find_locked(const char *name)
{
    if (!type_count)
        types[type_count++] = &command_type;
    for (size_t i = 0; i < type_count; i++)
        if (!strcmp(types[i]->name, name))
            return types[i];
    return NULL;
}

static int check(const struct dtf_task_type *t, struct nrpc_status *st)
{
    size_t n = t->name ? strlen(t->name) : 0;
    if (n < 1 || n > DTF_NAME_MAX)
        return status_set(st, NRPC_INVALID_ARGUMENT, "a task type's name must have 1 to %d bytes",
                          DTF_NAME_MAX);
    if (!utf8_is_valid(t->name) || strpbrk(t->name, "\r\n"))
        return status_set(st, NRPC_INVALID_ARGUMENT, "a task type's name must be one line of UTF-8");
    if (!t->executor || !t->executor->execute)
        return status_set(st, NRPC_INVALID_ARGUMENT, "task type %s has no execute callback", t->name);
    if (t->generator && (!t->generator->begin || !t->generator->next))
        return status_set(st, NRPC_INVALID_ARGUMENT, "task type %s: a generator needs begin and next",
                          t->name);
    if (t->conf.iteration == DTF_ITERATION_COLLECTOR && (!t->collector || !t->collector->after_execution))
        return status_set(st, NRPC_INVALID_ARGUMENT,
                          "task type %s iterates but has no after_execution callback", t->name);
    if (t->conf.timeout_ms < 0)
        return status_set(st, NRPC_INVALID_ARGUMENT, "task type %s: its timeout is negative", t->name);
    return NRPC_OK;
}

int dtf_register_task_type(const struct dtf_task_type *type, struct nrpc_status *st)
{
    int code = check(type, st);
    if (code)
        return code;
    pthread_mutex_lock(&mu);
    if (find_locked(type->name))
        code = status_set(st, NRPC_ALREADY_EXISTS, "task type %s is registered already", type->name);
    else if (type_count == TYPES_MAX)
        code = status_set(st, NRPC_RESOURCE_EXHAUSTED, "%d task types are registered already", TYPES_MAX);
    else
        types[type_count++] = type;
    pthread_mutex_unlock(&mu);
    return code;
}

static int register_types(const struct dtf_plugin *plugin, struct nrpc_status *st)
{
    int code = NRPC_OK;
    for (uint32_t i = 0; code == NRPC_OK && i < plugin->type_count; i++)
        code = dtf_register_task_type(&plugin->types[i], st);
    return code;
}

int dtf_load_plugin(const char *path, struct nrpc_status *st)
{
    void *object = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!object)
        return status_set(st, NRPC_NOT_FOUND, "cannot load the plugin: %s", dlerror());
    const struct dtf_plugin *plugin = dlsym(object, DTF_PLUGIN_SYMBOL);
    if (plugin && plugin->abi == DTF_PLUGIN_ABI)
        return register_types(plugin,
                              st); // the object stays, whatever comes of it: some types may be registered
    int code = plugin ? status_set(st, NRPC_FAILED_PRECONDITION,
                                   "%s was built for plugin ABI %u; this program has %d", path, plugin->abi,
                                   DTF_PLUGIN_ABI)
                      : status_set(st, NRPC_INVALID_ARGUMENT, "%s is no plugin: it has no symbol %s", path,
                                   DTF_PLUGIN_SYMBOL);
    dlclose(object);
    return code;
}

const struct dtf_task_type *registry_find(const char *name)
{
    pthread_mutex_lock(&mu);
    const struct dtf_task_type *t = find_locked(name);
    pthread_mutex_unlock(&mu);
    return t;
}

size_t registry_count(void)
{
    pthread_mutex_lock(&mu);
    (void)find_locked("");
    size_t n = type_count;
    pthread_mutex_unlock(&mu);
    return n;
}

const struct dtf_task_type *registry_at(size_t index)
{
    return index < registry_count() ? types[index] : NULL;
}
