// What the files of SDL2 and Dear ImGui 1.86 behind ui.h share: imgui_*.cpp, the only C++ there is. No decision about what the
// window offers is taken in them.
#ifndef TINCT_WINDOW_IMGUI_HPP
#define TINCT_WINDOW_IMGUI_HPP

#include "window/ui.h"

#include <SDL.h>
#include <SDL_opengl.h>
#include <imgui.h>

#include <cmath>
#include <vector>

enum { UI_NUMBER_BYTES = 64 };

struct gl_calls {
    void(APIENTRY *gen)(GLsizei, GLuint *);
    void(APIENTRY *drop)(GLsizei, const GLuint *);
    void(APIENTRY *bind)(GLenum, GLuint);
    void(APIENTRY *image)(GLenum, GLint, GLint, GLsizei, GLsizei, GLint, GLenum, GLenum, const void *);
    void(APIENTRY *set)(GLenum, GLenum, GLint);
    void(APIENTRY *store)(GLenum, GLint);
    void(APIENTRY *viewport)(GLint, GLint, GLsizei, GLsizei);
    void(APIENTRY *color)(GLfloat, GLfloat, GLfloat, GLfloat);
    void(APIENTRY *clear)(GLbitfield);
};

struct ui {
    SDL_Window *window = nullptr;
    SDL_GLContext context = nullptr;
    gl_calls gl = {};
    bool imgui = false, sdl = false;
    float scale = 1.0f, unit = 1.0f; // pixels, and the desktop's units, for one of a 96 dpi screen
    ImFont *fonts[UI_FONTS] = {};
    std::vector<bool> wanted = std::vector<bool>(0x10000); // characters in the atlas
    bool fonts_stale = true, far_east = false;
    std::vector<ui_event> events;
    Uint32 wake_type = 0;
    SDL_atomic_t awake = {};
    int owed = 3;
    SDL_Event key_up = {}; // type 0: none is held back
    bool closing = false;
    GLuint checker = 0;
    ImGuiID editing = 0; // the number field that is typed in, and what it holds
    char edited[UI_NUMBER_BYTES] = "";
    bool over = false;
    bool close_list = false; // the open one, in this frame
};

extern const ImU32 imgui_palette[UI_COLORS];

void imgui_make_fonts(struct ui *ui); // all characters that were needed so far

// One character of valid or invalid UTF-8, as ImGui's own reader takes it; 0 at the end.
unsigned imgui_next_character(const char **text);

static inline ImVec2 imgui_top_left(struct ui_rect r)
{
    return ImVec2(r.x, r.y);
}

#endif
