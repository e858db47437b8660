#include "mentor/report/theme.h"

#include <array>
#include <cstdio>
#include <cstdlib>
#include <utility>
#include <vector>

#include <absl/strings/str_format.h>
#include <absl/strings/str_replace.h>

#include "common/check.h"
#include "mentor/report/html.h"

namespace mentor::report {
namespace {

constexpr std::array<Colour, 13> kTheme = {{
    {"page", "#ffffff", "#14181d"},
    {"ink", "#1f2933", "#e4e8ec"},
    {"muted", "#66727f", "#9aa6b2"},
    {"grid", "#dfe4e9", "#343d47"},
    {"blue", "#0072b2", "#56b4e9"},
    {"sky", "#76b9e0", "#2f78a8"},
    {"grey", "#9a9a9a", "#8a8f95"},
    {"purple", "#b8639a", "#dd93c0"},
    {"vermillion", "#d55e00", "#f08a45"},
    {"green", "#009e73", "#38c49b"},
    {"orange", "#e69f00", "#f0b840"},
    {"brown", "#8c564b", "#b98376"},
    {"olive", "#8a8d1e", "#bdc04c"},
}};

struct Rgb {
  int red, green, blue;
};
Rgb Parse(std::string_view hex) {
  const long value = std::strtol(std::string(hex.substr(1)).c_str(), nullptr, 16);
  return {static_cast<int>(value >> 16 & 255), static_cast<int>(value >> 8 & 255),
          static_cast<int>(value & 255)};
}

// Removes titles that gnuplot invents (the first title, and NAME_plot_1), because browsers show
// them under the pointer. Legends stay.
std::string WithoutIdleTitles(std::string_view svg) {
  constexpr std::string_view kOpen = "<title>", kClose = "</title>";
  std::string kept;
  bool is_first = true;
  for (size_t open = svg.find(kOpen); open != std::string_view::npos; open = svg.find(kOpen)) {
    const size_t end = svg.find(kClose, open);
    if (end == std::string_view::npos) break;
    const bool is_idle =
        is_first || svg.substr(open, end - open).find("_plot_") != std::string_view::npos;
    is_first = false;
    kept += svg.substr(0, is_idle ? open : end + kClose.size());
    svg.remove_prefix(end + kClose.size());
  }
  return kept + std::string(svg);
}

}  // namespace

std::span<const Colour> Theme() {
  return kTheme;
}

std::string_view Light(std::string_view name) {
  for (const Colour& colour : kTheme) {
    if (colour.name == name) return colour.light;
  }
  MENTOR_CHECK(false && "no such colour");
  return {};
}

std::string ThemeCss() {
  std::string light, dark;
  for (const Colour& colour : kTheme) {
    light += absl::StrFormat(" --%s: %s;", std::string(colour.name), std::string(colour.light));
    dark += absl::StrFormat(" --%s: %s;", std::string(colour.name), std::string(colour.dark));
  }
  return absl::StrFormat(
      ":root {%s color-scheme: light dark; }\n"
      "@media screen and (prefers-color-scheme: dark) { :root:not([data-theme=\"light\"]) {%s } }\n"
      ":root[data-theme=\"light\"] { color-scheme: light; }\n"
      "@media print { :root { color-scheme: light; } }\n",
      light, dark);
}

std::string InlineSvg(std::string_view svg, std::string_view id, std::string_view label) {
  const size_t begin = svg.find("<svg"), tag_end = svg.find('>', begin), end = svg.rfind("</svg>");
  const size_t box = svg.find("viewBox=\"", begin);
  if (tag_end == std::string_view::npos || end == std::string_view::npos || box > tag_end)
    return "";
  const std::string view_box(svg.substr(box, svg.find('"', box + 9) + 1 - box));
  std::string body = WithoutIdleTitles(svg.substr(tag_end + 1, end - tag_end - 1));

  // gnuplot writes one colour in three ways.
  std::vector<std::pair<std::string, std::string>> replacements = {{"\"black\"", "\"var(--ink)\""},
                                                                   {"'black'", "'var(--ink)'"},
                                                                   {"\"gray\"", "\"var(--grid)\""}};
  for (const Colour& colour : kTheme) {
    const Rgb rgb = Parse(colour.light);
    const std::string variable = "var(--" + std::string(colour.name) + ")";
    replacements.emplace_back(absl::StrFormat("rgb(%3d, %3d, %3d)", rgb.red, rgb.green, rgb.blue),
                              variable);
    replacements.emplace_back(absl::StrFormat("rgb(%d,%d,%d)", rgb.red, rgb.green, rgb.blue),
                              variable);
    replacements.emplace_back(absl::StrFormat("#%02x%02x%02x", rgb.red, rgb.green, rgb.blue),
                              variable);
    replacements.emplace_back(absl::StrFormat("#%02X%02X%02X", rgb.red, rgb.green, rgb.blue),
                              variable);
  }
  const std::string prefix(id);
  replacements.emplace_back("id='gp", "id='" + prefix + "-gp");
  replacements.emplace_back("href='#gp", "href='#" + prefix + "-gp");
  replacements.emplace_back("id='textbox'", "id='" + prefix + "-textbox'");
  replacements.emplace_back("id='greybox'", "id='" + prefix + "-greybox'");
  replacements.emplace_back("id=\"gnuplot_canvas\"", "id=\"" + prefix + "-canvas\"");
  body = absl::StrReplaceAll(body, replacements);
  return absl::StrFormat(
      "<svg %s role=\"img\" aria-label=\"%s\" xmlns=\"http://www.w3.org/2000/svg\" "
      "xmlns:xlink=\"http://www.w3.org/1999/xlink\">%s</svg>",
      view_box, EscapeHtml(label), body);
}

}  // namespace mentor::report
