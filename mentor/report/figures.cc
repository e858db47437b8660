#include "mentor/report/figures.h"

#include <iterator>

#include <absl/strings/ascii.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_replace.h>

#include "common/check.h"
#include "common/gnuplot.h"
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

Style StyleOf(v1::EvaluationMethod method) {
  switch (method) {
    case v1::EVALUATION_METHOD_LEARNED:
      return {"blue", 7, 1};
    case v1::EVALUATION_METHOD_LEARNED_BEST:
      return {"purple", 9, 1};
    case v1::EVALUATION_METHOD_PPO_SPARSE:
      return {"vermillion", 5, 2};
    case v1::EVALUATION_METHOD_PPO_SHAPED:
      return {"green", 11, 4};
    case v1::EVALUATION_METHOD_PPO_SPARSE_AND_SHAPED:
      return {"brown", 13, 2};
    case v1::EVALUATION_METHOD_RANDOM_SIGNAL:
      return {"grey", 3, 4};
    default:
      MENTOR_CHECK(false);
      return {};
  }
}

Style StyleOf(size_t place) {
  const Style others[] = {{"blue", 7, 1},  {"purple", 9, 1}, {"orange", 13, 1}, {"sky", 15, 1},
                          {"olive", 4, 1}, {"ink", 6, 1},    {"brown", 2, 1}};
  const size_t count = std::size(others);
  Style style = others[place % count];
  style.dash = 1 + 2 * static_cast<int>(place / count % 2);
  return style;
}

std::string FileName(const std::string& name) {
  std::string plain = name;
  for (char& c : plain) {
    if (!absl::ascii_isalnum(static_cast<unsigned char>(c)) && c != '-') c = '_';
  }
  return plain;
}

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
