#include "envs/mjcf/program.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <limits>
#include <utility>

#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>
#include <immintrin.h>
#include <muParser.h>

#include "common/check.h"
#include "envs/tolerance.h"

namespace mentor::envs::mjcf {
namespace {

constexpr size_t kParserBytesMax = mu::MaxLenExpression;  // muParser refuses texts of this length.
static_assert(kProgramTextBytesMax < kParserBytesMax);
constexpr double kDefaultValue = 0.1;  // At the margin of a tolerance.

double NormOf(const double* numbers, int count) {
  double sum = 0;
  for (int i = 0; i < count; ++i) sum += numbers[i] * numbers[i];
  return std::sqrt(sum);
}

double ToleranceOf(const double* n, int count) {
  static const auto defaults = [] {
    std::vector<Tolerance> all;
    for (const auto& [name, sigmoid] : kSigmoids) all.emplace_back(sigmoid, kDefaultValue);
    return all;
  }();
  const double margin = count > 3 ? n[3] : 0;
  const double kind = count > 4 ? n[4] : 0;
  if (!(kind >= 0 && kind < static_cast<double>(defaults.size())))
    return std::numeric_limits<double>::quiet_NaN();
  const auto index = static_cast<size_t>(kind);
  if (count < 6 || n[5] == kDefaultValue) return defaults[index](n[0], n[1], n[2], margin);
  return Tolerance(kSigmoids[index].second, n[5])(n[0], n[1], n[2], margin);
}

double ClipOf(double x, double low, double high) {
  return x < low ? low : x > high ? high : x;
}

// muParser asks for the number behind each name of a text: "v12".
double* NumberOfVariable(const char* name, void* variables) {
  const auto& numbers = *static_cast<std::span<double>*>(variables);
  size_t place = 0;
  MENTOR_CHECK(absl::SimpleAtoi(name + 1, &place) && place < numbers.size());
  return &numbers[place];
}

void Prepare(mu::facfun_type factory, void* variables, const std::string& text,
             mu::Parser* parser) {
  parser->DefineFun("norm_", NormOf);
  parser->DefineFun("tolerance", ToleranceOf);
  parser->DefineFun("clip", ClipOf);
  parser->SetVarFactory(factory, variables);
  parser->SetExpr(text);
}

}  // namespace

std::optional<Flaw> FindFlaw(const std::string& text) {
  double number = 0.5;  // For all names.
  const auto factory = [](const char*, void* any) { return static_cast<double*>(any); };
  try {
    mu::Parser parser;
    Prepare(factory, &number, text, &parser);
    parser.Eval();
  } catch (const mu::ParserError& error) {
    const auto flaw = [&error](const std::string& what) {
      return Flaw{static_cast<size_t>(std::max(0, static_cast<int>(error.GetPos()))), what};
    };
    switch (error.GetCode()) {
      case mu::ecUNEXPECTED_PARENS:
        if (error.GetToken() == "(") return flaw("an operator is missing before this");
        [[fallthrough]];
      case mu::ecUNEXPECTED_EOF:
        return flaw("ends where a number or a name must follow");
      case mu::ecUNEXPECTED_OPERATOR:
        return flaw("an operator stands where a number or a name must");
      case mu::ecUNEXPECTED_VAL:
      case mu::ecUNEXPECTED_VAR:
      case mu::ecUNEXPECTED_FUN:
        return flaw("an operator is missing before this");
      case mu::ecMISSING_ELSE_CLAUSE:
        return flaw("':' is missing after '?'");
      case mu::ecMISPLACED_COLON:
        return flaw("':' without '?' before it");
      default:
        return flaw(error.GetMsg());
    }
  }
  return std::nullopt;
}

// muParser evaluates texts with commas between them in one pass, but only up to a length, so there
// may be several passes.
struct Program::Parsers {
  std::vector<std::string> texts;
  std::span<double> variables;
  std::deque<mu::Parser> parts;  // Each for some consecutive texts.
};

Program::Program(std::vector<std::string> texts, std::span<double> variables)
    : parsers_(std::make_unique<Parsers>()) {
  parsers_->texts = std::move(texts);
  parsers_->variables = variables;
  std::string joined;
  const auto end_part = [&] {
    if (joined.empty()) return;
    mu::Parser& part = parsers_->parts.emplace_back();
    Prepare(NumberOfVariable, &parsers_->variables, joined, &part);
    // The first evaluation reads the text; later ones allocate nothing.
    int count = 0;
    part.Eval(count);
    joined.clear();
  };
  constexpr size_t kAround = 3;  // ",(" and ")".
  for (const std::string& text : parsers_->texts) {
    if (joined.size() + text.size() + kAround >= kParserBytesMax) end_part();
    absl::StrAppend(&joined, joined.empty() ? "(" : ",(", text, ")");
  }
  end_part();
}

Program::~Program() = default;
Program::Program(Program&&) noexcept = default;

size_t Program::size() const {
  return parsers_->texts.size();
}

bool Program::Run(std::span<double> results) {
  MENTOR_CHECK(results.size() == size());
  if (results.empty()) return true;
  // 0 / 0 and comparisons with NaN are invalid operations.
  constexpr unsigned kBad = _MM_EXCEPT_DIV_ZERO | _MM_EXCEPT_INVALID;
  _mm_setcsr(_mm_getcsr() & ~kBad);
  size_t done = 0;
  for (mu::Parser& part : parsers_->parts) {
    int count = 0;
    const double* numbers = part.Eval(count);
    MENTOR_CHECK(done + count <= results.size());
    std::copy_n(numbers, count, results.begin() + done);
    done += count;
  }
  MENTOR_CHECK(done == results.size());
  bool good = (_mm_getcsr() & kBad) == 0;
  for (const double number : results) good = good && std::isfinite(number);
  return good;
}

size_t Program::Culprit() {
  for (size_t i = 0; i < size(); ++i) {
    double result = 0;
    if (!Program({parsers_->texts[i]}, parsers_->variables).Run({&result, 1})) return i;
  }
  return 0;
}

}  // namespace mentor::envs::mjcf
