// Widgets in our colours, and what scrolls.
#include "window/imgui.hpp"

#include <algorithm>

// Where the next widget stands; its text is in the middle of its height.
static void place(struct ui *ui, struct ui_rect r)
{
    float pad = std::max(0.0f, std::floor((r.h - ImGui::GetFontSize()) / 2));
    ImGui::PushStyleVar(ImGuiStyleVar_FramePadding, ImVec2(ui_px(ui, 8), pad));
    ImGui::SetCursorScreenPos(imgui_top_left(r));
    ImGui::SetNextItemWidth(r.w);
}

struct ui_area ui_area(struct ui *ui, const char *id, struct ui_rect r)
{
    struct ui_area a = {};

    (void)ui;
    if (r.w <= 0 || r.h <= 0) return a;
    ImGui::SetCursorScreenPos(imgui_top_left(r));
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
    ImGui::PushStyleColor(ImGuiCol_Button, look == UI_QUIET ? IM_COL32(0, 0, 0, 0) : imgui_palette[base[look]]);
    ImGui::PushStyleColor(ImGuiCol_ButtonHovered, imgui_palette[over[look]]);
    ImGui::PushStyleColor(ImGuiCol_ButtonActive, imgui_palette[base[look]]);
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

// ---- scrolling ----

float ui_scroll_begin(struct ui *ui, const char *id, struct ui_rect r)
{
    (void)ui;
    ImGui::SetCursorScreenPos(imgui_top_left(r));
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
    ImGui::SetCursorScreenPos(imgui_top_left(r));
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
