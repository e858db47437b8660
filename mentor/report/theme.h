// The colours of the report. Files for papers use the light colours on white. In the page every
// colour is a CSS variable that follows the reader's light or dark setting. The palette is that of
// Okabe and Ito, which colour-blind readers can tell apart.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace mentor::report {

struct Colour {
  std::string_view name;   // Name of the CSS variable, without "--".
  std::string_view light;  // "#rrggbb"; all are different, because inlining replaces by value.
  std::string_view dark;
};

std::span<const Colour> Theme();
// Returns the value in the light theme; `name` must exist.
std::string_view Light(std::string_view name);

// Returns ":root { --ink: ...; }" and the same for dark readers; paper and data-theme="light" are
// light.
std::string ThemeCss();

// Returns a gnuplot SVG file as a fragment for the page. The fragment has no XML prologue, takes
// its size from the page, and has colours as CSS variables. The prefix `id` makes its ids unique.
// The text `label` is for screen readers (escaped here).
std::string InlineSvg(std::string_view svg, std::string_view id, std::string_view label);

}  // namespace mentor::report
