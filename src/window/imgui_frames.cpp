// Events and frames.
#include "window/imgui.hpp"

#include <backends/imgui_impl_opengl3.h>
#include <backends/imgui_impl_sdl.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

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

    if (ui->fonts_stale) imgui_make_fonts(ui);
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
    ImVec4 back = ImGui::ColorConvertU32ToFloat4(imgui_palette[UI_BACK]);
    const ImVec2 size = ImGui::GetIO().DisplaySize;

    ImGui::End();
    ImGui::Render();
    ui->close_list = false;
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

void ui_popup_close(struct ui *ui)
{
    ui->close_list = true;
    ui_again(ui);
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
