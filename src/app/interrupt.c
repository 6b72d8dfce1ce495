#include "interrupt.h"

#include <signal.h>
#include <unistd.h>

#include "app.h"

static volatile sig_atomic_t deferred, marked; /* the only memory that a handler may touch */

static void on_interrupt(int signal)
{
    (void)signal;
    if (!deferred || marked) _exit(EXIT_INTERRUPTED);
    marked = 1;
}

/* Not what whoever started the program has told it to ignore, as nohup does. */
static void handle(int signal, const struct sigaction *action)
{
    struct sigaction before;

    if (sigaction(signal, NULL, &before) == 0 && before.sa_handler != SIG_IGN) sigaction(signal, action, NULL);
}

void interrupt_install(void)
{
    struct sigaction stop = { .sa_handler = on_interrupt, .sa_flags = SA_RESTART };
    struct sigaction ignore = { .sa_handler = SIG_IGN };

    handle(SIGINT, &stop);
    handle(SIGTERM, &stop);
    handle(SIGHUP, &stop);
    sigaction(SIGPIPE, &ignore, NULL);
    sigaction(SIGXFSZ, &ignore, NULL);
}

void interrupt_defer(void)
{
    deferred = 1;
}

bool interrupted(void)
{
    return marked;
}
