// The window, its OpenGL context, and our colours.
#include "window/imgui.hpp"

#include <backends/imgui_impl_opengl3.h>
#include <backends/imgui_impl_sdl.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>

const ImU32 imgui_palette[UI_COLORS] = {
    IM_COL32(0x15, 0x16, 0x1a, 255), // back
    IM_COL32(0x1c, 0x1e, 0x23, 255), // panel
    IM_COL32(0x27, 0x2a, 0x31, 255), // field
    IM_COL32(0x30, 0x34, 0x3d, 255), // field under the mouse
    IM_COL32(0x3a, 0x3e, 0x48, 255), // edge
    IM_COL32(0xe2, 0xe4, 0xe9, 255), // text
    IM_COL32(0x9b, 0xa1, 0xad, 255), // muted
    IM_COL32(0x6b, 0x71, 0x7d, 255), // faint
    IM_COL32(0x4f, 0xb8, 0xa8, 255), // accent
    IM_COL32(0x2b, 0x5f, 0x5a, 255), // accent, dim
    IM_COL32(0x2f, 0x5d, 0x74, 255), // selection
    IM_COL32(0xd9, 0xab, 0x5a, 255), // warning
    IM_COL32(0xe8, 0x7b, 0x73, 255), // error
    IM_COL32(0x0a, 0x0b, 0x0d, 200), // shade
};

template <typename T> static bool find_call(T &call, const char *name)
{
    call = reinterpret_cast<T>(SDL_GL_GetProcAddress(name));
    return call != nullptr;
}

static bool refuse(struct tinct_err *err, const char *what, const char *why, const char *advice)
{
    if (!err) return false;
    err->code = TINCT_ERR_DEVICE;
    snprintf(err->text, sizeof err->text, "%s: %s", what, why);
    for (char *c = err->text; *c; c++)
        if (*c == '\n') *c = ' ';
    snprintf(err->advice, sizeof err->advice, "%s", advice);
    return false;
}

static bool is_set(const char *variable)
{
    const char *value = SDL_getenv(variable);
    return value && *value;
}

// Of the screen that the window opens on, where the desktop counts in the screen's own pixels; 1 where it scales by itself.
static float screen_scale()
{
    float dpi = 0;

    if (SDL_GetDisplayDPI(0, &dpi, nullptr, nullptr) != 0) return 1.0f;
    float scale = std::round(dpi / 96.0f * 4.0f) / 4.0f;
    return scale >= 1.25f && scale <= 4.0f ? scale : 1.0f;
}

static int scaled(int size, float unit, int most)
{
    return std::min(static_cast<int>(std::lround(static_cast<float>(size) * unit)), most);
}

static bool open_window(struct ui *ui, const struct ui_options *o, struct tinct_err *err)
{
    bool placed = o->place.w > 0 && o->place.placed;
    int drawn_w = 0, drawn_h = 0;
    SDL_Rect screen = { 0, 0, 1280, 800 };

    const char *advice = "start it from a desktop, or paint without a window: tinct paint PROMPT";
    if (!is_set("SDL_VIDEODRIVER")) { // SDL would fall back to windows that nobody sees
        bool x11 = is_set("DISPLAY"), wayland = is_set("WAYLAND_DISPLAY") || is_set("WAYLAND_SOCKET");
        if (!x11 && !wayland) return refuse(err, "the window has no display to open on", "neither DISPLAY nor WAYLAND_DISPLAY is set", advice);
        SDL_SetHintWithPriority(SDL_HINT_VIDEODRIVER, !wayland ? "x11" : x11 ? "x11,wayland" : "wayland", SDL_HINT_OVERRIDE);
    }
    signal(SIGINT, SIG_DFL); // SDL makes both a request to close
    signal(SIGTERM, SIG_DFL);
    SDL_SetHint(SDL_HINT_VIDEO_X11_NET_WM_BYPASS_COMPOSITOR, "0");
    SDL_SetHint("SDL_APP_NAME", "tinct");
    if (SDL_Init(SDL_INIT_VIDEO) != 0)
        return refuse(err, "the window has no display to open on", SDL_GetError(), advice);
    ui->sdl = true;
    SDL_EnableScreenSaver();
    SDL_GL_SetAttribute(SDL_GL_CONTEXT_MAJOR_VERSION, 3);
    SDL_GL_SetAttribute(SDL_GL_CONTEXT_MINOR_VERSION, 0);
    SDL_GL_SetAttribute(SDL_GL_DOUBLEBUFFER, 1);
    SDL_GetDisplayUsableBounds(0, &screen);
    ui->unit = o->scale > 0 ? o->scale : screen_scale();
    int w = scaled(o->place.w > 0 ? o->place.w : 1280, ui->unit, screen.w), h = scaled(o->place.w > 0 ? o->place.h : 800, ui->unit, screen.h);
    ui->window = SDL_CreateWindow(o->title, placed ? o->place.x : static_cast<int>(SDL_WINDOWPOS_CENTERED),
                                  placed ? o->place.y : static_cast<int>(SDL_WINDOWPOS_CENTERED), w, h,
                                  SDL_WINDOW_OPENGL | SDL_WINDOW_RESIZABLE | SDL_WINDOW_ALLOW_HIGHDPI |
                                      (o->place.maximised ? SDL_WINDOW_MAXIMIZED : 0));
    if (ui->window) ui->context = SDL_GL_CreateContext(ui->window);
    if (!ui->context)
        return refuse(err, "the window needs OpenGL 3, which this display does not give", SDL_GetError(),
                      "install libgl1-mesa-dri for OpenGL on the processor");
    SDL_SetWindowMinimumSize(ui->window, scaled(800, ui->unit, screen.w), scaled(520, ui->unit, screen.h));
    SDL_GL_SetSwapInterval(1);
    SDL_GetWindowSize(ui->window, &w, &h);
    SDL_GL_GetDrawableSize(ui->window, &drawn_w, &drawn_h);
    ui->scale = drawn_w > w && w > 0 ? static_cast<float>(drawn_w) / static_cast<float>(w) * (o->scale > 0 ? o->scale : 1.0f) : ui->unit;
    if (drawn_w > w && o->scale <= 0) ui->unit = 1.0f;
    return true;
}

static bool load_gl(struct ui *ui, struct tinct_err *err)
{
    gl_calls &gl = ui->gl;
    if (find_call(gl.gen, "glGenTextures") && find_call(gl.drop, "glDeleteTextures") && find_call(gl.bind, "glBindTexture") &&
        find_call(gl.image, "glTexImage2D") && find_call(gl.set, "glTexParameteri") && find_call(gl.store, "glPixelStorei") &&
        find_call(gl.viewport, "glViewport") && find_call(gl.color, "glClearColor") && find_call(gl.clear, "glClear"))
        return true;
    return refuse(err, "the window needs OpenGL 3", "this driver lacks a call of it", "install libgl1-mesa-dri");
}

static void set_style(struct ui *ui)
{
    ImGuiStyle &s = ImGui::GetStyle();
    auto color = [](enum ui_color c) { return ImGui::ColorConvertU32ToFloat4(imgui_palette[c]); };

    ImGui::StyleColorsDark();
    s.WindowPadding = ImVec2(0, 0);
    s.WindowBorderSize = 0;
    s.ChildBorderSize = 0;
    s.FrameRounding = 5;
    s.PopupRounding = 6;
    s.ScrollbarRounding = 4;
    s.ScrollbarSize = 10;
    s.GrabRounding = 4;
    s.ItemSpacing = ImVec2(4, 4);
    s.ItemInnerSpacing = ImVec2(4, 4);
    s.ScaleAllSizes(ui->scale);
    s.PopupBorderSize = 1;
    s.Colors[ImGuiCol_Text] = color(UI_TEXT);
    s.Colors[ImGuiCol_TextDisabled] = color(UI_FAINT);
    s.Colors[ImGuiCol_WindowBg] = color(UI_BACK);
    s.Colors[ImGuiCol_PopupBg] = color(UI_PANEL);
    s.Colors[ImGuiCol_Border] = color(UI_EDGE);
    s.Colors[ImGuiCol_FrameBg] = s.Colors[ImGuiCol_Button] = color(UI_FIELD);
    s.Colors[ImGuiCol_FrameBgHovered] = s.Colors[ImGuiCol_ButtonHovered] = color(UI_FIELD_OVER);
    s.Colors[ImGuiCol_FrameBgActive] = s.Colors[ImGuiCol_ButtonActive] = color(UI_EDGE);
    s.Colors[ImGuiCol_Header] = color(UI_ACCENT_DIM);
    s.Colors[ImGuiCol_HeaderHovered] = s.Colors[ImGuiCol_HeaderActive] = color(UI_FIELD_OVER);
    s.Colors[ImGuiCol_CheckMark] = color(UI_ACCENT);
    s.Colors[ImGuiCol_TextSelectedBg] = color(UI_SELECTION);
    s.Colors[ImGuiCol_ScrollbarBg] = ImVec4(0, 0, 0, 0);
    s.Colors[ImGuiCol_ScrollbarGrab] = color(UI_EDGE);
    s.Colors[ImGuiCol_ScrollbarGrabHovered] = s.Colors[ImGuiCol_ScrollbarGrabActive] = color(UI_FAINT);
}

static void make_checker(struct ui *ui)
{
    const unsigned char dark[3] = { 0x19, 0x1a, 0x1e }, light[3] = { 0x20, 0x22, 0x27 };
    unsigned char rgb[2 * 2 * 3];

    for (int i = 0; i < 4; i++) memcpy(rgb + 3 * i, i == 0 || i == 3 ? dark : light, 3);
    ui->checker = ui_texture(ui, 0, 2, 2, rgb);
    ui->gl.bind(GL_TEXTURE_2D, ui->checker);
    ui->gl.set(GL_TEXTURE_2D, GL_TEXTURE_MIN_FILTER, GL_NEAREST);
    ui->gl.set(GL_TEXTURE_2D, GL_TEXTURE_MAG_FILTER, GL_NEAREST);
    ui->gl.set(GL_TEXTURE_2D, GL_TEXTURE_WRAP_S, GL_REPEAT);
    ui->gl.set(GL_TEXTURE_2D, GL_TEXTURE_WRAP_T, GL_REPEAT);
}

struct ui *ui_open(const struct ui_options *options, struct tinct_err *err)
{
    struct ui *ui = new struct ui;

    if (!open_window(ui, options, err) || !load_gl(ui, err)) {
        ui_close(ui);
        return nullptr;
    }
    ImGui::CreateContext();
    ui->imgui = true;
    ImGui::GetIO().IniFilename = nullptr;
    ImGui_ImplSDL2_InitForOpenGL(ui->window, ui->context);
    ImGui_ImplOpenGL3_Init("#version 130");
    ui->wake_type = SDL_RegisterEvents(1);
    set_style(ui);
    for (unsigned c = 0x20; c < 0x180; c++) ui->wanted[c] = c < 0x7f || c >= 0xa0;
    ui_need(ui, "–—‘’“”…•←→↔×−");
    make_checker(ui);
    SDL_StartTextInput();
    return ui;
}

void ui_close(struct ui *ui)
{
    if (!ui) return;
    if (ui->checker) ui_texture_free(ui, ui->checker);
    if (ui->imgui) {
        ImGui_ImplOpenGL3_Shutdown();
        ImGui_ImplSDL2_Shutdown();
        ImGui::DestroyContext();
    }
    for (ui_event &e : ui->events) free(e.text);
    if (ui->context) SDL_GL_DeleteContext(ui->context);
    if (ui->window) SDL_DestroyWindow(ui->window);
    if (ui->sdl) SDL_Quit();
    delete ui;
}

void ui_hide(struct ui *ui)
{
    SDL_HideWindow(ui->window);
    SDL_PumpEvents();
    signal(SIGINT, SIG_DFL); // from here on it ends the program at once
    signal(SIGTERM, SIG_DFL);
}

void ui_title(struct ui *ui, const char *title)
{
    SDL_SetWindowTitle(ui->window, title);
}

struct ui_place ui_where(struct ui *ui)
{
    struct ui_place p = {};
    SDL_GetWindowPosition(ui->window, &p.x, &p.y);
    SDL_GetWindowSize(ui->window, &p.w, &p.h);
    p.w = scaled(p.w, 1 / ui->unit, 100000);
    p.h = scaled(p.h, 1 / ui->unit, 100000);
    p.placed = true;
    p.maximised = SDL_GetWindowFlags(ui->window) & SDL_WINDOW_MAXIMIZED;
    return p;
}
