// The colours of the report. Files for papers have the light ones on white; in the page every
// colour is a CSS variable that changes with the reader's light or dark setting. Okabe and Ito's
// palette, which colour-blind readers can tell apart.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace mentor::report {

struct Colour {
  std::string_view name;   // Name of the CSS variable, without "--".
  std::string_view light;  // "#rrggbb"; no two are equal, since inlining replaces by value.
  std::string_view dark;
};

std::span<const Colour> Theme();
// Value in the light theme; the name must exist.
std::string_view Light(std::string_view name);

// ":root { --ink: ...; }" and the same for dark readers; paper and data-theme="light" are light.
std::string ThemeCss();

// An SVG file of gnuplot as a fragment for the page: no XML prologue, size from the page, colours
// as CSS variables, ids made unique by `id`, `label` for screen readers (escaped here).
std::string InlineSvg(std::string_view svg, std::string_view id, std::string_view label);

}  // namespace mentor::report
