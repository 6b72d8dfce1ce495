// SDL2 and Dear ImGui 1.86 behind ui.h: the window, its OpenGL context, fonts, events, and the widgets in our colours. The
// only C++ there is; no decision about what the window offers is taken here.
#include "window/ui.h"

#include <SDL.h>
#include <SDL_opengl.h>
#include <imgui.h>
#include <backends/imgui_impl_opengl3.h>
#include <backends/imgui_impl_sdl.h>
#include <imgui_freetype.h>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

namespace {

const ImU32 palette[UI_COLORS] = {
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

const float font_sizes[UI_FONTS] = { 16.5f, 13.5f, 16.5f };

struct gl_calls {
    void(APIENTRY *gen)(GLsizei, GLuint *);
    void(APIENTRY *drop)(GLsizei, const GLuint *);
    void(APIENTRY *bind)(GLenum, GLuint);
    void(APIENTRY *image)(GLenum, GLint, GLint, GLsizei, GLsizei, GLint, GLenum, GLenum, const void *);
    void(APIENTRY *set)(GLenum, GLenum, GLint);
    void(APIENTRY *store)(GLenum, GLint);
    void(APIENTRY *mipmap)(GLenum);
    void(APIENTRY *viewport)(GLint, GLint, GLsizei, GLsizei);
    void(APIENTRY *color)(GLfloat, GLfloat, GLfloat, GLfloat);
    void(APIENTRY *clear)(GLbitfield);
};

template <typename T> bool find_call(T &call, const char *name)
{
    call = reinterpret_cast<T>(SDL_GL_GetProcAddress(name));
    return call != nullptr;
}

bool file_exists(const char *path)
{
    SDL_RWops *file = SDL_RWFromFile(path, "rb");
    if (file) SDL_RWclose(file);
    return file != nullptr;
}

const char *first_of(const char *const *paths)
{
    for (; *paths; paths++)
        if (file_exists(*paths)) return *paths;
    return nullptr;
}

} // namespace

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
    std::vector<std::string> texts;
    Uint32 wake_type = 0;
    SDL_atomic_t awake = {};
    int owed = 3;
    SDL_Event key_up = {}; // type 0: none is held back
    bool closing = false;
    GLuint checker = 0;
    ImGuiID editing = 0;
    double edited = 0;
    int64_t edited_whole = 0;
    bool over = false;
};

// ---- opening ------------------------------------------------------------------

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
    if (!SDL_getenv("SDL_VIDEODRIVER")) { // SDL would fall back to windows that nobody sees
        bool x11 = is_set("DISPLAY"), wayland = is_set("WAYLAND_DISPLAY") || is_set("WAYLAND_SOCKET");
        if (!x11 && !wayland) return refuse(err, "the window has no display to open on", "neither DISPLAY nor WAYLAND_DISPLAY is set", advice);
        SDL_SetHint(SDL_HINT_VIDEODRIVER, !wayland ? "x11" : x11 ? "x11,wayland" : "wayland");
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
        find_call(gl.mipmap, "glGenerateMipmap") && find_call(gl.viewport, "glViewport") &&
        find_call(gl.color, "glClearColor") && find_call(gl.clear, "glClear"))
        return true;
    return refuse(err, "the window needs OpenGL 3", "this driver lacks a call of it", "install libgl1-mesa-dri");
}

static void set_style(struct ui *ui)
{
    ImGuiStyle &s = ImGui::GetStyle();
    auto color = [](enum ui_color c) { return ImGui::ColorConvertU32ToFloat4(palette[c]); };

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

// ---- fonts --------------------------------------------------------------------

static ImFont *add_font(struct ui *ui, enum ui_font which, const ImWchar *ranges)
{
    static const char *const regular[] = { "/usr/share/fonts/opentype/inter/Inter-Regular.otf", "/usr/share/fonts/inter/Inter-Regular.otf",
                                           "/usr/share/fonts/truetype/noto/NotoSans-Regular.ttf",
                                           "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf", nullptr };
    static const char *const bold[] = { "/usr/share/fonts/opentype/inter/Inter-SemiBold.otf", "/usr/share/fonts/inter/Inter-SemiBold.otf",
                                        "/usr/share/fonts/truetype/noto/NotoSans-SemiBold.ttf",
                                        "/usr/share/fonts/truetype/dejavu/DejaVuSans-Bold.ttf", nullptr };
    static const char *const wide[] = { "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf", "/usr/share/fonts/TTF/DejaVuSans.ttf", nullptr };
    static const char *const far_east[] = { "/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc",
                                            "/usr/share/fonts/noto-cjk/NotoSansCJK-Regular.ttc",
                                            "/usr/share/fonts/truetype/droid/DroidSansFallbackFull.ttf",
                                            "/usr/share/fonts/truetype/wqy/wqy-microhei.ttc", nullptr };
    ImFontAtlas *atlas = ImGui::GetIO().Fonts;
    const char *path = first_of(which == UI_BOLD ? bold : regular);
    float size = std::round(font_sizes[which] * ui->scale);
    ImFontConfig config;
    ImFont *font = path ? atlas->AddFontFromFileTTF(path, size, &config, ranges) : nullptr;

    if (!font) {
        config.SizePixels = size;
        font = atlas->AddFontDefault(&config);
    }
    config.MergeMode = true;
    if ((path = first_of(wide))) atlas->AddFontFromFileTTF(path, size, &config, ranges);
    if (ui->far_east && (path = first_of(far_east))) atlas->AddFontFromFileTTF(path, size, &config, ranges);
    return font;
}

static void make_fonts(struct ui *ui)
{
    ImFontAtlas *atlas = ImGui::GetIO().Fonts;
    ImFontGlyphRangesBuilder builder;
    ImVector<ImWchar> ranges;

    for (unsigned c = 0; c < ui->wanted.size(); c++)
        if (ui->wanted[c]) builder.AddChar(static_cast<ImWchar>(c));
    builder.BuildRanges(&ranges);
    atlas->Clear();
    atlas->FontBuilderIO = ImGuiFreeType::GetBuilderForFreeType();
    atlas->FontBuilderFlags = ImGuiFreeTypeBuilderFlags_LightHinting;
    for (int i = 0; i < UI_FONTS; i++) ui->fonts[i] = add_font(ui, static_cast<enum ui_font>(i), ranges.Data);
    atlas->Build();
    ImGui_ImplOpenGL3_DestroyFontsTexture();
    ImGui_ImplOpenGL3_CreateFontsTexture();
    ui->fonts_stale = false;
}

// One character of valid or invalid UTF-8, as ImGui's own reader takes it; 0 at the end.
static unsigned next_character(const char **text)
{
    const unsigned char *t = reinterpret_cast<const unsigned char *>(*text);
    int more = t[0] < 0x80 ? 0 : t[0] >= 0xf0 ? 3 : t[0] >= 0xe0 ? 2 : t[0] >= 0xc0 ? 1 : 0;
    unsigned c = more == 3 ? t[0] & 7u : more == 2 ? t[0] & 15u : more == 1 ? t[0] & 31u : t[0];

    for (int i = 1; i <= more; i++) {
        if ((t[i] & 0xc0) != 0x80) {
            *text += i;
            return 0xfffd;
        }
        c = c << 6 | (t[i] & 0x3fu);
    }
    *text += c ? more + 1 : 0;
    return c;
}

void ui_need(struct ui *ui, const char *text)
{
    unsigned c;
    while ((c = next_character(&text))) {
        if (c < 0x80 || c >= ui->wanted.size() || ui->wanted[c]) continue;
        ui->wanted[c] = true;
        ui->far_east |= c >= 0x2e80;
        ui->fonts_stale = true;
        ui->owed = std::max(ui->owed, 3);
    }
}

// ---- events and frames --------------------------------------------------------

static void keep_event(struct ui *ui, const SDL_Event &e)
{
    struct ui_event kept = {};

    if (e.type == SDL_KEYDOWN) {
        kept.kind = UI_KEY;
        kept.key = e.key.keysym.sym;
        kept.ctrl = e.key.keysym.mod & (KMOD_CTRL | KMOD_GUI);
        kept.shift = e.key.keysym.mod & KMOD_SHIFT;
        kept.alt = e.key.keysym.mod & KMOD_ALT;
        kept.repeated = e.key.repeat != 0;
    } else if (e.type == SDL_TEXTINPUT) {
        kept.kind = UI_INPUT;
        kept.text = strdup(e.text.text);
        ui_need(ui, e.text.text);
    } else if (e.type == SDL_DROPFILE) {
        kept.kind = UI_DROP;
        kept.text = strdup(e.drop.file);
        SDL_free(e.drop.file);
    } else {
        return;
    }
    if (kept.kind == UI_KEY || kept.text) ui->events.push_back(kept);
}

static void take_event(struct ui *ui, const SDL_Event &e)
{
    if (e.type == ui->wake_type) SDL_AtomicSet(&ui->awake, 0);
    if (e.type == SDL_QUIT || (e.type == SDL_WINDOWEVENT && e.window.event == SDL_WINDOWEVENT_CLOSE)) ui->closing = true;
    ImGui_ImplSDL2_ProcessEvent(&e);
    keep_event(ui, e);
    ui->owed = std::max(ui->owed, e.type == ui->wake_type ? 1 : 3); // pressed, let go, and what that changed
}

static bool pressed_now(const struct ui *ui, int key)
{
    for (const ui_event &e : ui->events)
        if (e.kind == UI_KEY && e.key == key) return true;
    return false;
}

bool ui_wait(struct ui *ui)
{
    SDL_Event e;

    for (ui_event &old : ui->events) free(old.text);
    ui->events.clear();
    if (ui->key_up.type) take_event(ui, ui->key_up);
    ui->key_up.type = 0;
    if (ui->owed <= 0 && SDL_WaitEvent(&e)) take_event(ui, e);
    while (SDL_PollEvent(&e)) {
        if (e.type == SDL_KEYUP && ImGui::GetIO().WantTextInput && pressed_now(ui, e.key.keysym.sym)) {
            ui->key_up = e; // ImGui 1.86 looks at keys once a frame: a quick one would be missed in its fields
            break;
        }
        take_event(ui, e);
    }
    return !ui->closing;
}

void ui_wake(struct ui *ui)
{
    SDL_Event e = {};
    e.type = ui->wake_type;
    if (SDL_AtomicCAS(&ui->awake, 0, 1)) SDL_PushEvent(&e);
}

void ui_again(struct ui *ui)
{
    ui->owed = std::max(ui->owed, 3);
}

void ui_begin(struct ui *ui)
{
    ImGuiIO &io = ImGui::GetIO();
    int w, h, drawn_w, drawn_h;

    if (ui->fonts_stale) make_fonts(ui);
    ui->owed--;
    SDL_GetWindowSize(ui->window, &w, &h);
    SDL_GL_GetDrawableSize(ui->window, &drawn_w, &drawn_h);
    ImGui_ImplOpenGL3_NewFrame();
    ImGui_ImplSDL2_NewFrame();
    if (w > 0 && drawn_w != w && io.MousePos.x > -1e6f) { // ours are the screen's own pixels everywhere
        io.MousePos.x *= static_cast<float>(drawn_w) / static_cast<float>(w);
        io.MousePos.y *= static_cast<float>(drawn_h) / static_cast<float>(h);
    }
    io.DisplaySize = ImVec2(static_cast<float>(drawn_w), static_cast<float>(drawn_h));
    io.DisplayFramebufferScale = ImVec2(1, 1);
    ImGui::NewFrame();
    ImGui::SetNextWindowPos(ImVec2(0, 0));
    ImGui::SetNextWindowSize(io.DisplaySize);
    ImGui::Begin("tinct", nullptr, ImGuiWindowFlags_NoDecoration | ImGuiWindowFlags_NoMove | ImGuiWindowFlags_NoSavedSettings |
                                       ImGuiWindowFlags_NoBringToFrontOnFocus | ImGuiWindowFlags_NoScrollWithMouse |
                                       ImGuiWindowFlags_NoBackground);
}

void ui_end(struct ui *ui)
{
    ImVec4 back = ImGui::ColorConvertU32ToFloat4(palette[UI_BACK]);
    const ImVec2 size = ImGui::GetIO().DisplaySize;

    ImGui::End();
    ImGui::Render();
    ui->gl.viewport(0, 0, static_cast<int>(size.x), static_cast<int>(size.y));
    ui->gl.color(back.x, back.y, back.z, 1);
    ui->gl.clear(GL_COLOR_BUFFER_BIT);
    ImGui_ImplOpenGL3_RenderDrawData(ImGui::GetDrawData());
    SDL_GL_SwapWindow(ui->window);
}

const struct ui_event *ui_events(const struct ui *ui, size_t *count)
{
    *count = ui->events.size();
    return ui->events.data();
}

struct ui_mouse ui_mouse(const struct ui *ui)
{
    const ImGuiIO &io = ImGui::GetIO();
    struct ui_mouse m = {};

    (void)ui;
    m.x = io.MousePos.x;
    m.y = io.MousePos.y;
    m.dx = io.MouseDelta.x;
    m.dy = io.MouseDelta.y;
    m.wheel = io.MouseWheel;
    for (int i = 0; i < 3; i++) {
        m.down[i] = io.MouseDown[i];
        m.pressed[i] = ImGui::IsMouseClicked(i);
        m.released[i] = ImGui::IsMouseReleased(i);
    }
    m.doubled = ImGui::IsMouseDoubleClicked(0);
    m.ctrl = io.KeyCtrl;
    m.shift = io.KeyShift;
    return m;
}

bool ui_field_typing(const struct ui *ui)
{
    (void)ui;
    return ImGui::GetIO().WantTextInput;
}

bool ui_popup_open(const struct ui *ui)
{
    (void)ui;
    return ImGui::IsPopupOpen("", ImGuiPopupFlags_AnyPopup);
}

struct ui_rect ui_window(const struct ui *ui)
{
    (void)ui;
    const ImVec2 size = ImGui::GetIO().DisplaySize;
    return { 0, 0, size.x, size.y };
}

float ui_px(const struct ui *ui, float at_96_dpi)
{
    return std::round(at_96_dpi * ui->scale);
}

// ---- drawing ------------------------------------------------------------------

static ImDrawList *list_of(const struct ui *ui)
{
    return ui->over ? ImGui::GetForegroundDrawList() : ImGui::GetWindowDrawList();
}

static ImVec2 top_left(struct ui_rect r)
{
    return ImVec2(r.x, r.y);
}

static ImVec2 bottom_right(struct ui_rect r)
{
    return ImVec2(r.x + r.w, r.y + r.h);
}

static ImU32 shown(enum ui_color color)
{
    return ImGui::GetColorU32(palette[color]);
}

void ui_over(struct ui *ui, bool over)
{
    ui->over = over;
}

void ui_fill(struct ui *ui, struct ui_rect r, enum ui_color color, float rounding)
{
    list_of(ui)->AddRectFilled(top_left(r), bottom_right(r), shown(color), rounding);
}

void ui_outline(struct ui *ui, struct ui_rect r, enum ui_color color, float rounding, float thickness)
{
    list_of(ui)->AddRect(top_left(r), bottom_right(r), shown(color), rounding, 0, thickness);
}

void ui_clip(struct ui *ui, struct ui_rect r)
{
    list_of(ui)->PushClipRect(top_left(r), bottom_right(r), true);
}

void ui_unclip(struct ui *ui)
{
    list_of(ui)->PopClipRect();
}

void ui_text(struct ui *ui, enum ui_font font, enum ui_color color, float x, float y, const char *text, size_t bytes)
{
    const ImFont *f = ui->fonts[font];
    list_of(ui)->AddText(f, f->FontSize, ImVec2(std::floor(x), std::floor(y)), shown(color), text, bytes ? text + bytes : nullptr);
}

float ui_width(const struct ui *ui, enum ui_font font, const char *text, size_t bytes)
{
    const ImFont *f = ui->fonts[font];
    return f->CalcTextSizeA(f->FontSize, 1e9f, 0, text, bytes ? text + bytes : nullptr).x;
}

float ui_advance(const struct ui *ui, enum ui_font font, uint32_t character)
{
    return ui->fonts[font]->GetCharAdvance(static_cast<ImWchar>(character > 0xffff ? 0xfffd : character));
}

float ui_line(const struct ui *ui, enum ui_font font)
{
    return std::round(ui->fonts[font]->FontSize * 1.28f);
}

void ui_label(struct ui *ui, enum ui_font font, enum ui_color color, struct ui_rect r, float align, const char *text)
{
    const ImFont *f = ui->fonts[font];
    float width = ui_width(ui, font, text, 0), y = r.y + (r.h - f->FontSize) / 2;

    if (width <= r.w + 0.5f) {
        if (*text) ui_text(ui, font, color, r.x + (r.w - width) * align, y, text, 0);
        return;
    }
    const char *end = text, *next = text;
    float room = r.w - ui_width(ui, font, "…", 0);
    for (unsigned c; (c = next_character(&next)) && (room -= ui_advance(ui, font, c)) >= 0;) end = next;
    if (end > text) ui_text(ui, font, color, r.x, y, text, static_cast<size_t>(end - text));
    ui_text(ui, font, color, r.x + (end > text ? ui_width(ui, font, text, static_cast<size_t>(end - text)) : 0), y, "…", 0);
}

float ui_paragraph(struct ui *ui, enum ui_font font, enum ui_color color, struct ui_rect r, const char *text, bool draw)
{
    const ImFont *f = ui->fonts[font];
    const char *end = text + strlen(text);
    float y = r.y;

    while (text < end) {
        const char *line_end = f->CalcWordWrapPositionA(1.0f, text, end, r.w);
        if (line_end == text) line_end++;
        if (draw) ui_text(ui, font, color, r.x, y, text, static_cast<size_t>(line_end - text));
        y += ui_line(ui, font);
        text = line_end;
        while (text < end && (*text == ' ' || *text == '\n')) text++;
    }
    return y - r.y;
}

// ---- pictures -----------------------------------------------------------------

uint32_t ui_texture(struct ui *ui, uint32_t texture, int w, int h, const unsigned char *rgb)
{
    GLuint name = texture;

    if (!name) ui->gl.gen(1, &name);
    ui->gl.bind(GL_TEXTURE_2D, name);
    ui->gl.set(GL_TEXTURE_2D, GL_TEXTURE_MIN_FILTER, GL_LINEAR_MIPMAP_LINEAR);
    ui->gl.set(GL_TEXTURE_2D, GL_TEXTURE_MAG_FILTER, GL_LINEAR);
    ui->gl.set(GL_TEXTURE_2D, GL_TEXTURE_WRAP_S, GL_CLAMP_TO_EDGE);
    ui->gl.set(GL_TEXTURE_2D, GL_TEXTURE_WRAP_T, GL_CLAMP_TO_EDGE);
    ui->gl.store(GL_UNPACK_ALIGNMENT, 1);
    ui->gl.store(GL_UNPACK_ROW_LENGTH, 0);
    ui->gl.image(GL_TEXTURE_2D, 0, GL_RGB8, w, h, 0, GL_RGB, GL_UNSIGNED_BYTE, rgb);
    ui->gl.mipmap(GL_TEXTURE_2D);
    return name;
}

void ui_texture_free(struct ui *ui, uint32_t texture)
{
    GLuint name = texture;
    if (name) ui->gl.drop(1, &name);
}

static ImTextureID texture_id(uint32_t texture)
{
    return reinterpret_cast<ImTextureID>(static_cast<intptr_t>(texture));
}

void ui_picture(struct ui *ui, uint32_t texture, struct ui_rect r, enum ui_filter filter)
{
    ui->gl.bind(GL_TEXTURE_2D, texture);
    ui->gl.set(GL_TEXTURE_2D, GL_TEXTURE_MAG_FILTER, filter == UI_SHARP ? GL_NEAREST : GL_LINEAR);
    list_of(ui)->AddImage(texture_id(texture), top_left(r), bottom_right(r));
}

void ui_checker(struct ui *ui, struct ui_rect r)
{
    float cell = ui_px(ui, 24);
    list_of(ui)->AddImage(texture_id(ui->checker), top_left(r), bottom_right(r), ImVec2(0, 0), ImVec2(r.w / cell, r.h / cell));
}

// ---- widgets ------------------------------------------------------------------

// Where the next widget stands; its text is in the middle of its height.
static void place(struct ui *ui, struct ui_rect r)
{
    float pad = std::max(0.0f, std::floor((r.h - ImGui::GetFontSize()) / 2));
    ImGui::PushStyleVar(ImGuiStyleVar_FramePadding, ImVec2(ui_px(ui, 8), pad));
    ImGui::SetCursorScreenPos(top_left(r));
    ImGui::SetNextItemWidth(r.w);
}

struct ui_area ui_area(struct ui *ui, const char *id, struct ui_rect r)
{
    struct ui_area a = {};

    (void)ui;
    if (r.w <= 0 || r.h <= 0) return a;
    ImGui::SetCursorScreenPos(top_left(r));
    a.clicked = ImGui::InvisibleButton(id, ImVec2(r.w, r.h), ImGuiButtonFlags_MouseButtonLeft | ImGuiButtonFlags_MouseButtonMiddle);
    a.over = ImGui::IsItemHovered();
    a.held = ImGui::IsItemActive();
    a.pressed = ImGui::IsItemActivated();
    a.released = ImGui::IsItemDeactivated();
    a.doubled = a.over && ImGui::IsMouseDoubleClicked(0);
    return a;
}

bool ui_button(struct ui *ui, const char *label, struct ui_rect r, enum ui_button look)
{
    static const enum ui_color base[] = { UI_FIELD, UI_ACCENT_DIM, UI_PANEL, UI_ACCENT_DIM };
    static const enum ui_color over[] = { UI_FIELD_OVER, UI_ACCENT, UI_FIELD, UI_ACCENT_DIM };

    place(ui, r);
    ImGui::PushStyleColor(ImGuiCol_Button, look == UI_QUIET ? IM_COL32(0, 0, 0, 0) : palette[base[look]]);
    ImGui::PushStyleColor(ImGuiCol_ButtonHovered, palette[over[look]]);
    ImGui::PushStyleColor(ImGuiCol_ButtonActive, palette[base[look]]);
    ImGui::PushStyleVar(ImGuiStyleVar_FramePadding, ImVec2(ui_px(ui, 4), 0));
    ImGui::PushFont(ui->fonts[look == UI_PRIMARY ? UI_BOLD : UI_NORMAL]);
    bool clicked = ImGui::Button(label, ImVec2(r.w, r.h));
    ImGui::PopFont();
    ImGui::PopStyleVar(2);
    ImGui::PopStyleColor(3);
    return clicked;
}

bool ui_check(struct ui *ui, const char *label, struct ui_rect r, bool *value)
{
    float box = ImGui::GetFontSize() + ui_px(ui, 4);

    place(ui, { r.x, r.y + std::floor((r.h - box) / 2), r.w, box });
    bool changed = ImGui::Checkbox(label, value);
    ImGui::PopStyleVar();
    return changed;
}

// A number that counts when its field is left: while it is typed, "5" on the way to "512" is not a width.
template <typename T>
static bool number(struct ui *ui, const char *id, struct ui_rect r, ImGuiDataType type, T *value, T kept, T least, T most, T step,
                   const char *format, T *keep)
{
    ImGuiID key = ImGui::GetID(id);
    T shown_value = ui->editing == key ? kept : *value;
    const T by = step;
    bool changed = false;

    place(ui, r);
    ImGui::InputScalar(id, type, &shown_value, step > 0 ? &by : nullptr, nullptr, format);
    ImGui::PopStyleVar();
    if (ImGui::IsItemActive()) {
        ui->editing = key;
        *keep = shown_value;
    } else if (ui->editing == key) {
        ui->editing = 0;
    }
    if (ImGui::IsItemDeactivatedAfterEdit()) {
        shown_value = std::min(std::max(shown_value, least), most);
        changed = shown_value != *value;
        *value = shown_value;
    }
    return changed;
}

bool ui_int(struct ui *ui, const char *id, struct ui_rect r, int *value, int least, int most, int step)
{
    int keep = static_cast<int>(ui->edited_whole);
    bool changed = number<int>(ui, id, r, ImGuiDataType_S32, value, keep, least, most, step, nullptr, &keep);
    if (ui->editing == ImGui::GetID(id)) ui->edited_whole = keep;
    return changed;
}

bool ui_float(struct ui *ui, const char *id, struct ui_rect r, float *value, float least, float most, float step)
{
    float keep = static_cast<float>(ui->edited);
    bool changed = number<float>(ui, id, r, ImGuiDataType_Float, value, keep, least, most, step, "%g", &keep);
    if (ui->editing == ImGui::GetID(id)) ui->edited = keep;
    return changed;
}

bool ui_seed(struct ui *ui, const char *id, struct ui_rect r, int64_t *value)
{
    int64_t keep = ui->edited_whole;
    bool changed = number<int64_t>(ui, id, r, ImGuiDataType_S64, value, keep, -1, INT64_MAX, 0, nullptr, &keep);
    if (ui->editing == ImGui::GetID(id)) ui->edited_whole = keep;
    return changed;
}

bool ui_choice(struct ui *ui, const char *id, struct ui_rect r, int *index, const char *const *names, int count)
{
    bool changed = false;

    place(ui, r);
    ImGui::PushStyleVar(ImGuiStyleVar_WindowPadding, ImVec2(ui_px(ui, 6), ui_px(ui, 6)));
    if (ImGui::BeginCombo(id, *index >= 0 && *index < count ? names[*index] : "", ImGuiComboFlags_HeightLarge)) {
        for (int i = 0; i < count; i++) {
            ImGui::PushID(i);
            if (ImGui::Selectable(names[i], i == *index)) {
                changed = i != *index;
                *index = i;
            }
            if (i == *index && ImGui::IsWindowAppearing()) ImGui::SetScrollHereY();
            ImGui::PopID();
        }
        ImGui::EndCombo();
    }
    ImGui::PopStyleVar(2);
    return changed;
}

bool ui_field(struct ui *ui, const char *id, struct ui_rect r, char *text, size_t size, const char *hint)
{
    place(ui, r);
    bool changed = ImGui::InputTextWithHint(id, hint, text, size);
    ImGui::PopStyleVar();
    return changed;
}

void ui_focus_next(struct ui *ui)
{
    (void)ui;
    ImGui::SetKeyboardFocusHere();
}

void ui_unfocus(struct ui *ui)
{
    (void)ui;
    if (ImGui::GetIO().WantTextInput) ImGui::SetWindowFocus(nullptr);
}

void ui_enable(struct ui *ui, bool enabled)
{
    (void)ui;
    if (enabled) ImGui::EndDisabled();
    else ImGui::BeginDisabled();
}

void ui_tip(struct ui *ui, const char *text)
{
    if (!*text || !ImGui::IsItemHovered(ImGuiHoveredFlags_AllowWhenDisabled)) return;
    ImGui::PushStyleVar(ImGuiStyleVar_WindowPadding, ImVec2(ui_px(ui, 10), ui_px(ui, 7)));
    ImGui::BeginTooltip();
    ImGui::PushTextWrapPos(ui_px(ui, 420));
    ImGui::TextUnformatted(text);
    ImGui::PopTextWrapPos();
    ImGui::EndTooltip();
    ImGui::PopStyleVar();
}

// ---- scrolling ----------------------------------------------------------------

float ui_scroll_begin(struct ui *ui, const char *id, struct ui_rect r)
{
    (void)ui;
    ImGui::SetCursorScreenPos(top_left(r));
    ImGui::BeginChild(id, ImVec2(r.w, r.h), false, ImGuiWindowFlags_NoBackground);
    return ImGui::GetScrollY();
}

void ui_scroll_end(struct ui *ui, float height)
{
    (void)ui;
    ImGui::SetCursorPos(ImVec2(0, height));
    ImGui::Dummy(ImVec2(1, 0));
    ImGui::EndChild();
}

void ui_scroll_to(struct ui *ui, float top, float height)
{
    float view = ImGui::GetWindowHeight(), at = ImGui::GetScrollY();

    ui_again(ui);
    if (top < at) ImGui::SetScrollY(top);
    else if (top + height > at + view) ImGui::SetScrollY(top + height - view);
}

float ui_strip_begin(struct ui *ui, const char *id, struct ui_rect r)
{
    ImGui::SetCursorScreenPos(top_left(r));
    ImGui::BeginChild(id, ImVec2(r.w, r.h), false,
                      ImGuiWindowFlags_NoBackground | ImGuiWindowFlags_HorizontalScrollbar | ImGuiWindowFlags_NoScrollWithMouse);
    if (ImGui::IsWindowHovered() && ImGui::GetIO().MouseWheel != 0) {
        ImGui::SetScrollX(ImGui::GetScrollX() - ImGui::GetIO().MouseWheel * ui_px(ui, 90));
        ui_again(ui);
    }
    return ImGui::GetScrollX();
}

void ui_strip_end(struct ui *ui, float width)
{
    (void)ui;
    ImGui::SetCursorPos(ImVec2(width, 0));
    ImGui::Dummy(ImVec2(0, 1));
    ImGui::EndChild();
}

void ui_strip_to(struct ui *ui, float left, float width)
{
    float view = ImGui::GetWindowWidth(), at = ImGui::GetScrollX();

    ui_again(ui);
    if (left < at) ImGui::SetScrollX(left);
    else if (left + width > at + view) ImGui::SetScrollX(left + width - view);
}
