#include "mentor/report/figures.h"

#include <absl/strings/str_format.h>
#include <absl/strings/str_replace.h>

#include "mentor/report/gnuplot.h"
#include "mentor/report/theme.h"

namespace mentor::report {
namespace {

// @NAME@ is a colour of the theme, @file@ the figure's name. Text is never "enhanced": names are
// shown as they are.
constexpr char kPrologue[] = R"(# Draws @file@.svg and @file@.png: gnuplot @file@.gp
set encoding utf8
set datafile separator comma
set border 3 linecolor rgb '@muted@' linewidth 1
set tics nomirror textcolor rgb '@ink@' scale 0.5
set grid ytics linecolor rgb '@grid@' linetype 1 linewidth 1
set key above left horizontal reverse Left samplen 2 textcolor rgb '@ink@' noenhanced
set xlabel textcolor rgb '@ink@' noenhanced
set ylabel textcolor rgb '@ink@' noenhanced
set title textcolor rgb '@ink@' noenhanced
set style fill transparent solid 0.16 noborder
set lmargin 9
set bmargin 3.5
do for [picture in 'svg png'] {
  if (picture eq 'svg') {
    set terminal svg size @width@,@height@ font 'DejaVu Sans,13' background '@page@' \
      name '@file@' noenhanced
  } else {
    set terminal pngcairo size 2*@width@,2*@height@ font 'DejaVu Sans,10' fontscale 2 \
      linewidth 2 pointscale 2 background '@page@' noenhanced
  }
  set output '@file@.'.picture
)";

}  // namespace

std::string Script(const Figure& figure) {
  std::vector<std::pair<std::string, std::string>> replacements = {
      {"@file@", figure.name},
      {"@width@", absl::StrFormat("%d", kFigureWidth)},
      {"@height@", absl::StrFormat("%d", figure.height)}};
  for (const Colour& colour : Theme()) {
    replacements.emplace_back("@" + std::string(colour.name) + "@", std::string(colour.light));
  }
  return absl::StrReplaceAll(kPrologue + figure.commands + "  unset output\n}\n", replacements);
}

}  // namespace mentor::report
