/*
 * A program with its own copy of libllama4, linked statically, that loads plug-ins which bring other copies.
 *     host MODEL.gguf SAME|APART FLAGS PLUGIN...      FLAGS: local or global
 * SAME: the host offers its copy to whatever it loads (-rdynamic), so the plug-in uses that one; APART: each its own.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>

#include "check.h"
#include "work.h"

static const char *model_path, *mode;
static int flags, n_plugins;
static char **plugins;

typedef struct plugin {
    void *handle;
    int32_t (*work)(const char *path, char *out, size_t capacity);
    llama4_model *(*open)(const char *path);
    void (*close)(llama4_model *model);
    const void *(*constant)(void);
} plugin;

static int load(const char *path, plugin *p)
{
    p->handle = dlopen(path, RTLD_NOW | flags);
    if (!p->handle) {
        printf("%s\n", dlerror());
        return 0;
    }
    /* POSIX promises that this works, C does not: hence the detour over void ** */
    *(void **)&p->work = dlsym(p->handle, "plugin_work");
    *(void **)&p->open = dlsym(p->handle, "plugin_open");
    *(void **)&p->close = dlsym(p->handle, "plugin_close");
    *(void **)&p->constant = dlsym(p->handle, "plugin_constant");
    return p->work && p->open && p->close && p->constant;
}

static char want[2048];

TEST(host_alone)
{
    CHECK_STATUS0(work(model_path, 2, want, sizeof want), 0);
    CHECK(want[0] != 0);
}

TEST(plugins_beside_the_host)
{
    char text[2048];
    for (int i = 0; i < n_plugins; i++) {
        plugin p;
        REQUIRE(load(plugins[i], &p));
        /* Models of both copies are open at once and are closed crosswise. */
        llama4_model *theirs = p.open(model_path), *ours = NULL;
        CHECK(theirs != NULL);
        CHECK_STATUS0(llama4_model_open(model_path, NULL, &ours, NULL), LLAMA4_OK);
        CHECK_STATUS0(p.work(model_path, text, sizeof text), 0);
        CHECK_STR(text, want);
        CHECK_STATUS0(work(model_path, 2, text, sizeof text), 0);
        CHECK_STR(text, want);
        llama4_model_release(ours);
        CHECK_STATUS0(p.work(model_path, text, sizeof text), 0);
        CHECK_STR(text, want);
        p.close(theirs);
        CHECK_STATUS0(work(model_path, 2, text, sizeof text), 0);
        CHECK_STR(text, want);
        CHECK(dlclose(p.handle) == 0);
        CHECK_STATUS0(work(model_path, 2, text, sizeof text), 0);
        CHECK_STR(text, want);
    }
}

/* Are they really two copies? Otherwise this program would prove nothing. */
TEST(copies_are_what_they_are_said_to_be)
{
    for (int i = 0; i < n_plugins; i++) {
        plugin p;
        REQUIRE(load(plugins[i], &p));
        CHECK((p.constant() == (const void *)llama4_status_name(LLAMA4_OK)) == !strcmp(mode, "SAME"));
        CHECK(dlclose(p.handle) == 0);
    }
}

static void *work_in_plugin(void *argument)
{
    plugin *p = argument;
    static char text[2048];
    for (int i = 0; i < 3; i++)
        if (p->work(model_path, text, sizeof text) || strcmp(text, want))
            return NULL;
    return p;
}

TEST(host_and_plugin_at_the_same_time)
{
    char text[2048];
    plugin p;
    pthread_t thread;
    void *result = NULL;
    REQUIRE(load(plugins[0], &p));
    REQUIRE(pthread_create(&thread, NULL, work_in_plugin, &p) == 0);
    for (int i = 0; i < 3; i++) {
        CHECK_STATUS0(work(model_path, 2, text, sizeof text), 0);
        CHECK_STR(text, want);
    }
    pthread_join(thread, &result);
    CHECK(result == &p);
    CHECK(dlclose(p.handle) == 0);
}

/* Loaded and unloaded over and over: no thread, handler or key stays behind in unmapped code. */
TEST(plugin_comes_and_goes)
{
    char text[2048];
    for (int i = 0; i < 10; i++) {
        plugin p;
        REQUIRE(load(plugins[0], &p));
        CHECK_STATUS0(p.work(model_path, text, sizeof text), 0);
        CHECK_STR(text, want);
        CHECK(dlclose(p.handle) == 0);
    }
}

int main(int argc, char **argv)
{
    static const check_case cases[] = {T(host_alone), T(plugins_beside_the_host), T(copies_are_what_they_are_said_to_be),
                                       T(host_and_plugin_at_the_same_time), T(plugin_comes_and_goes)};
    if (argc < 5)
        return 2;
    model_path = argv[1];
    mode = argv[2];
    flags = !strcmp(argv[3], "global") ? RTLD_GLOBAL : RTLD_LOCAL;
    plugins = argv + 4;
    n_plugins = argc - 4;
    return check_main(cases, sizeof cases / sizeof *cases, 1, argv);
}
