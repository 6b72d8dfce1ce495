/* Drops a file on the window under test, as a file manager would: the source's side of XDND 5, which xdotool lacks. */
#ifndef TINCT_TESTS_WINDOW_XDND_H
#define TINCT_TESTS_WINDOW_XDND_H

#include <X11/Xatom.h>

#include "window/desk.h"

static inline Atom xdnd_atom(const char *name)
{
    return XInternAtom(desk.display, name, False);
}

/* The window that takes drops. */
static inline Window xdnd_target(void)
{
    Window root, parent, *children = NULL, found = None;
    unsigned count = 0;

    XQueryTree(desk.display, DefaultRootWindow(desk.display), &root, &parent, &children, &count);
    for (unsigned i = 0; i < count && found == None; i++) {
        Atom type;
        int format;
        unsigned long items, rest;
        unsigned char *value = NULL;
        if (XGetWindowProperty(desk.display, children[i], xdnd_atom("XdndAware"), 0, 1, False, XA_ATOM, &type, &format, &items,
                               &rest, &value) == Success && items == 1)
            found = children[i];
        if (value) XFree(value);
    }
    if (children) XFree(children);
    return found;
}

static inline void xdnd_send(Window target, const char *type, Window source, long a, long b, long c, long d)
{
    XEvent e = { .xclient = { .type = ClientMessage, .window = target, .message_type = xdnd_atom(type), .format = 32 } };
    long data[] = { (long)source, a, b, c, d };

    memcpy(e.xclient.data.l, data, sizeof data);
    XSendEvent(desk.display, target, False, NoEventMask, &e);
    XFlush(desk.display);
}

/* Answers requests for the list of files until a message of that type comes. */
static inline void xdnd_serve_until(const char *type, const char *uris)
{
    for (int i = 0; i < DESK_PATIENCE * 100; i++) {
        while (XPending(desk.display)) {
            XEvent e;
            XNextEvent(desk.display, &e);
            if (e.type == ClientMessage && e.xclient.message_type == xdnd_atom(type)) return;
            if (e.type != SelectionRequest) continue;
            XSelectionRequestEvent *ask = &e.xselectionrequest;
            XChangeProperty(desk.display, ask->requestor, ask->property, ask->target, 8, PropModeReplace, (const unsigned char *)uris,
                            (int)strlen(uris));
            XEvent answer = { .xselection = { .type = SelectionNotify, .requestor = ask->requestor, .selection = ask->selection,
                                              .target = ask->target, .property = ask->property, .time = ask->time } };
            XSendEvent(desk.display, ask->requestor, False, NoEventMask, &answer);
            XFlush(desk.display);
        }
        desk_rest(10);
    }
    fail_msg("no %s came", type);
}

static inline void xdnd_drop(const char *path)
{
    char full[1024], uris[1100];
    Window target = xdnd_target();
    Window source = XCreateSimpleWindow(desk.display, DefaultRootWindow(desk.display), 0, 0, 1, 1, 0, 0, 0);
    long list = (long)xdnd_atom("text/uri-list");

    assert_true(target != None);
    assert_non_null(realpath(path, full));
    snprintf(uris, sizeof uris, "file://%s\r\n", full);
    XSetSelectionOwner(desk.display, xdnd_atom("XdndSelection"), source, CurrentTime);
    xdnd_send(target, "XdndEnter", source, 5L << 24, list, None, None);
    xdnd_send(target, "XdndPosition", source, 0, 300L << 16 | 300, CurrentTime, (long)xdnd_atom("XdndActionCopy"));
    xdnd_serve_until("XdndStatus", uris);
    xdnd_send(target, "XdndDrop", source, 0, CurrentTime, 0, 0);
    xdnd_serve_until("XdndFinished", uris);
    XDestroyWindow(desk.display, source);
}

#endif
