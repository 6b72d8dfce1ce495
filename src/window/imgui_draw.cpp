// Shapes, texts and pictures.
#include "window/imgui.hpp"

#include <algorithm>
#include <cstdint>
#include <cstring>

static ImDrawList *list_of(const struct ui *ui)
{
    return ui->over ? ImGui::GetForegroundDrawList() : ImGui::GetWindowDrawList();
}

static ImVec2 bottom_right(struct ui_rect r)
{
    return ImVec2(r.x + r.w, r.y + r.h);
}

static ImU32 shown(enum ui_color color)
{
    return ImGui::GetColorU32(imgui_palette[color]);
}

void ui_over(struct ui *ui, bool over)
{
    ui->over = over;
}

void ui_fill(struct ui *ui, struct ui_rect r, enum ui_color color, float rounding)
{
    list_of(ui)->AddRectFilled(imgui_top_left(r), bottom_right(r), shown(color), rounding);
}

void ui_outline(struct ui *ui, struct ui_rect r, enum ui_color color, float rounding, float thickness)
{
    list_of(ui)->AddRect(imgui_top_left(r), bottom_right(r), shown(color), rounding, 0, thickness);
}

void ui_clip(struct ui *ui, struct ui_rect r)
{
    list_of(ui)->PushClipRect(imgui_top_left(r), bottom_right(r), true);
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
    for (unsigned c; (c = imgui_next_character(&next)) && (room -= ui_advance(ui, font, c)) >= 0;) end = next;
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
        if (draw && line_end < end && y + 2 * ui_line(ui, font) > r.y + r.h + 1) {
            ui_label(ui, font, color, { r.x, y, r.w, f->FontSize }, 0, text);
            return y + ui_line(ui, font) - r.y;
        }
        if (line_end == text) line_end++;
        if (draw) ui_text(ui, font, color, r.x, y, text, static_cast<size_t>(line_end - text));
        y += ui_line(ui, font);
        text = line_end;
        while (text < end && (*text == ' ' || *text == '\n')) text++;
    }
    return y - r.y;
}

// ---- pictures ----

// Half as wide and high, each the mean of four; the last row or column of an odd size is left out.
static std::vector<unsigned char> halved(const unsigned char *rgb, int w, int h)
{
    const int half_w = std::max(w / 2, 1), half_h = std::max(h / 2, 1), right = w > 1 ? 3 : 0, below = h > 1 ? 3 * w : 0;
    std::vector<unsigned char> half(static_cast<size_t>(half_w) * static_cast<size_t>(half_h) * 3);
    unsigned char *out = half.data();

    for (int y = 0; y < half_h; y++)
        for (int x = 0; x < half_w; x++) {
            const unsigned char *in = rgb + 3 * (static_cast<size_t>(std::min(2 * y, h - 1)) * static_cast<size_t>(w) +
                                                 static_cast<size_t>(std::min(2 * x, w - 1)));
            for (int c = 0; c < 3; c++, in++) *out++ = static_cast<unsigned char>((in[0] + in[right] + in[below] + in[right + below] + 2) / 4);
        }
    return half;
}

// Not glGenerateMipmap: OpenGL on the processor compiles code for it anew for each kind of size, some 70 ms in a frame.
static void add_levels(struct ui *ui, int w, int h, const unsigned char *rgb)
{
    std::vector<unsigned char> level;

    for (int i = 1; w > 1 || h > 1; i++) {
        level = halved(i == 1 ? rgb : level.data(), w, h);
        w = std::max(w / 2, 1);
        h = std::max(h / 2, 1);
        ui->gl.image(GL_TEXTURE_2D, i, GL_RGB8, w, h, 0, GL_RGB, GL_UNSIGNED_BYTE, level.data());
    }
}

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
    add_levels(ui, w, h, rgb);
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
    list_of(ui)->AddImage(texture_id(texture), imgui_top_left(r), bottom_right(r));
}

void ui_checker(struct ui *ui, struct ui_rect r)
{
    float cell = ui_px(ui, 24);
    list_of(ui)->AddImage(texture_id(ui->checker), imgui_top_left(r), bottom_right(r), ImVec2(0, 0), ImVec2(r.w / cell, r.h / cell));
}
