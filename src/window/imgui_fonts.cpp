// Fonts of the system, with the characters that are shown.
#include "window/imgui.hpp"

#include <backends/imgui_impl_opengl3.h>
#include <imgui_freetype.h>

#include <algorithm>

static const float font_sizes[UI_FONTS] = { 16.5f, 13.5f, 16.5f };

static bool file_exists(const char *path)
{
    SDL_RWops *file = SDL_RWFromFile(path, "rb");
    if (file) SDL_RWclose(file);
    return file != nullptr;
}

static const char *first_of(const char *const *paths)
{
    for (; *paths; paths++)
        if (file_exists(*paths)) return *paths;
    return nullptr;
}

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

void imgui_make_fonts(struct ui *ui)
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

unsigned imgui_next_character(const char **text)
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
    while ((c = imgui_next_character(&text))) {
        if (c < 0x80 || c >= ui->wanted.size() || ui->wanted[c]) continue;
        ui->wanted[c] = true;
        ui->far_east |= c >= 0x2e80;
        ui->fonts_stale = true;
        ui->owed = std::max(ui->owed, 3);
    }
}
