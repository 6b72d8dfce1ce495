// Widgets in our colours, and what scrolls.
#include "window/imgui.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>

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

// A text that counts when its field is left: while it is typed, "5" on the way to "512" is not a width. True then, with what was
// typed. Not ImGui's InputScalar: it asserts where a click and keys arrive in one slow frame.
static bool number(struct ui *ui, const char *id, struct ui_rect r, const char *shown, char typed[UI_NUMBER_BYTES])
{
    ImGuiID key = ImGui::GetID(id);

    snprintf(typed, UI_NUMBER_BYTES, "%s", ui->editing == key ? ui->edited : shown);
    place(ui, r);
    ImGui::InputText(id, typed, UI_NUMBER_BYTES, ImGuiInputTextFlags_CharsDecimal | ImGuiInputTextFlags_AutoSelectAll);
    ImGui::PopStyleVar();
    if (ImGui::IsItemActive()) {
        ui->editing = key;
        snprintf(ui->edited, sizeof ui->edited, "%s", typed);
    } else if (ui->editing == key) {
        ui->editing = 0;
    }
    return ImGui::IsItemDeactivatedAfterEdit();
}

// "-" and "+" at the right end of r, which becomes narrower by them: -1, 1, or 0 for neither.
static int step_buttons(struct ui *ui, const char *id, struct ui_rect *r)
{
    float wide = r->h, gap = ui_px(ui, 4);
    char label[80];
    int by = 0;

    r->w -= 2 * (wide + gap);
    ImGui::PushButtonRepeat(true);
    snprintf(label, sizeof label, "−%s", id);
    if (ui_button(ui, label, { r->x + r->w + gap, r->y, wide, r->h }, UI_PLAIN)) by = -1;
    snprintf(label, sizeof label, "+%s", id);
    if (ui_button(ui, label, { r->x + r->w + 2 * gap + wide, r->y, wide, r->h }, UI_PLAIN)) by = 1;
    ImGui::PopButtonRepeat();
    return by;
}

template <typename T> static bool take(T *value, T wanted, T least, T most)
{
    wanted = std::min(std::max(wanted, least), most);
    bool changed = wanted < *value || wanted > *value;
    *value = wanted;
    return changed;
}

static bool whole(struct ui *ui, const char *id, struct ui_rect r, int64_t *value, int64_t least, int64_t most)
{
    char shown_text[UI_NUMBER_BYTES], typed[UI_NUMBER_BYTES], *end;

    snprintf(shown_text, sizeof shown_text, "%lld", static_cast<long long>(*value));
    if (!number(ui, id, r, shown_text, typed)) return false;
    long long wanted = strtoll(typed, &end, 10);
    return end != typed && take<int64_t>(value, wanted, least, most);
}

bool ui_int(struct ui *ui, const char *id, struct ui_rect r, int *value, int least, int most, int step)
{
    int by = step > 0 ? step_buttons(ui, id, &r) : 0;
    int64_t wide = *value;
    bool changed = by ? take<int64_t>(&wide, wide + by * step, least, most) : false;

    changed |= whole(ui, id, r, &wide, least, most);
    *value = static_cast<int>(wide);
    return changed;
}

bool ui_float(struct ui *ui, const char *id, struct ui_rect r, float *value, float least, float most, float step)
{
    int by = step > 0 ? step_buttons(ui, id, &r) : 0;
    char shown_text[UI_NUMBER_BYTES], typed[UI_NUMBER_BYTES], *end;

    if (by && take(value, *value + static_cast<float>(by) * step, least, most)) return true;
    snprintf(shown_text, sizeof shown_text, "%g", static_cast<double>(*value));
    if (!number(ui, id, r, shown_text, typed)) return false;
    float wanted = strtof(typed, &end);
    return end != typed && std::isfinite(wanted) && take(value, wanted, least, most);
}

bool ui_seed(struct ui *ui, const char *id, struct ui_rect r, int64_t *value)
{
    return whole(ui, id, r, value, -1, INT64_MAX);
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
        if (ui->close_list) ImGui::CloseCurrentPopup();
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
