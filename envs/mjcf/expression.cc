#include "envs/mjcf/expression.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>
#include <deque>
#include <limits>
#include <map>
#include <numbers>
#include <set>
#include <utility>

#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>
#include <immintrin.h>
#include <muParser.h>

#include "common/check.h"
#include "common/edit_distance.h"
#include "common/printable.h"
#include "envs/tolerance.h"

namespace mentor::envs::mjcf {
namespace {

constexpr size_t kParserBytesMax = mu::MaxLenExpression;  // muParser refuses texts of this length.
constexpr size_t kTextBytesMax = kParserBytesMax - 100;  // One component, with vectors written out.
constexpr int kDepthMax = 100;
constexpr double kDefaultValue = 0.1;  // At the margin of a tolerance.

// --- Functions of our own ---

double NormOf(const double* numbers, int count) {
  double sum = 0;
  for (int i = 0; i < count; ++i) sum += numbers[i] * numbers[i];
  return std::sqrt(sum);
}

double ToleranceOf(const double* n, int count) {
  if (count < 3 || count > 6) {
    throw mu::ParserError(
        "tolerance takes 3 to 6 arguments: x, low, high, margin, sigmoid, value at the margin");
  }
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

struct Function {
  const char* name;
  int least, most;  // Arguments.
};
constexpr int kMany = 1000;
// muParser's functions that an expression may name, and ours.
constexpr Function kFunctions[] = {
    {"sin", 1, 1},       {"cos", 1, 1},     {"tan", 1, 1},     {"asin", 1, 1},    {"acos", 1, 1},
    {"atan", 1, 1},      {"atan2", 2, 2},   {"sinh", 1, 1},    {"cosh", 1, 1},    {"tanh", 1, 1},
    {"asinh", 1, 1},     {"acosh", 1, 1},   {"atanh", 1, 1},   {"exp", 1, 1},     {"ln", 1, 1},
    {"log2", 1, 1},      {"log10", 1, 1},   {"sqrt", 1, 1},    {"sign", 1, 1},    {"rint", 1, 1},
    {"abs", 1, 1},       {"min", 1, kMany}, {"max", 1, kMany}, {"sum", 1, kMany}, {"clip", 3, 3},
    {"tolerance", 3, 6}, {"norm", 1, 1},    {"dist", 2, 2},    {"contact", 2, 2}, {"force", 1, 1}};

const Function* FindFunction(std::string_view name) {
  const auto found = std::find_if(std::begin(kFunctions), std::end(kFunctions),
                                  [name](const Function& f) { return name == f.name; });
  return found == std::end(kFunctions) ? nullptr : found;
}

// Words of Python or C, and what replaces them here. A task's names come first.
struct Foreign {
  std::string_view text;
  const char* remedy;
};
constexpr Foreign kForeignOperators[] = {{"**", "write x ^ y"},
                                         {"!", "write x == 0"},
                                         {"=", "write =="},
                                         {"&", "write &&"},
                                         {"|", "write ||"}};
constexpr Foreign kForeignWords[] = {{"and", "write &&"},
                                     {"or", "write ||"},
                                     {"not", "write x == 0"},
                                     {"if", "write c ? x : y"},
                                     {"else", "write c ? x : y"},
                                     {"where", "write c ? x : y"},
                                     {"True", "write 1"},
                                     {"true", "write 1"},
                                     {"False", "write 0"},
                                     {"false", "write 0"},
                                     {"np", "functions stand by themselves: exp(x)"},
                                     {"numpy", "functions stand by themselves: exp(x)"},
                                     {"math", "functions stand by themselves: exp(x)"},
                                     {"data", "write the name of a part of the model"},
                                     {"qpos", "write the name of the joint"},
                                     {"qvel", "write NAME.v of the joint"},
                                     {"log", "write ln(x)"},
                                     {"pow", "write x ^ y"},
                                     {"square", "write x ^ 2"},
                                     {"round", "write rint(x)"}};

template <size_t N>
const Foreign* FindForeign(const Foreign (&list)[N], std::string_view text) {
  const auto found = std::find_if(std::begin(list), std::end(list),
                                  [text](const Foreign& one) { return text == one.text; });
  return found == std::end(list) ? nullptr : found;
}

std::string UnknownFunction(std::string_view name) {
  if (const Foreign* foreign = FindForeign(kForeignWords, name))
    return absl::StrCat("unknown function '", std::string(name), "'; ", foreign->remedy);
  std::vector<std::string> names;
  for (const Function& function : kFunctions) names.emplace_back(function.name);
  return absl::StrCat("unknown function '", Printable(name), "'; ",
                      NameHint(std::string(name), names));
}

std::string VariableName(int place) {
  return absl::StrCat("v", place);
}

// --- From what people write to what muParser reads ---

// A piece of an expression: plain text, the places of a name, or a function that makes one number
// of vectors.
struct Piece {
  size_t column = 0;  // From 1.
  std::string text = {};
  std::vector<int> places = {};
  std::string function = {};  // "norm" or "dist"; "vector" for a list of components.
  std::vector<std::vector<Piece>> arguments = {};
};
using Pieces = std::vector<Piece>;

absl::Status At(size_t column, const std::string& what) {
  return absl::InvalidArgumentError(absl::StrCat("column ", column, ": ", what));
}
absl::Status TooLong(size_t column) {
  return At(column, "the expression is too long with its vectors written out; name parts of it");
}

bool IsLetter(char c) {
  return std::isalpha(static_cast<unsigned char>(c)) || c == '_';
}
bool IsDigit(char c) {
  return std::isdigit(static_cast<unsigned char>(c));
}

class Reader {
 public:
  Reader(std::string_view text, Scope& scope) : text_(text), scope_(scope) {}

  // Reads up to the end. Within a function's or plain parentheses, reads up to the closing one or a
  // comma.
  absl::StatusOr<Pieces> Read(bool nested, int depth) {
    if (depth > kDepthMax) return At(at_ + 1, "parentheses lie too deep in each other");
    Pieces pieces;
    bool compared = false;  // A comparison came before, and this may belong to it.
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == ')' || c == ',' || c == ']') {
        if (nested) return pieces;
        return At(at_ + 1, absl::StrCat("'", std::string(1, c), "' without a '",
                                        c == ']' ? "[" : "(", "' before it"));
      }
      if (std::isspace(static_cast<unsigned char>(c))) {
        ++at_;
      } else if (c == '(') {
        MENTOR_RETURN_IF_ERROR(Group(depth, &pieces));
      } else if (c == '[') {
        MENTOR_RETURN_IF_ERROR(Vector(depth, &pieces));
      } else if (IsDigit(c) || (c == '.' && IsDigit(Next(1)))) {
        MENTOR_RETURN_IF_ERROR(Number(&pieces));
      } else if (IsLetter(c)) {
        MENTOR_RETURN_IF_ERROR(Word(depth, &pieces));
      } else {
        MENTOR_RETURN_IF_ERROR(Operator(&pieces));
        MENTOR_RETURN_IF_ERROR(NoChain(pieces.back(), &compared));
      }
    }
    if (nested) return At(text_.size() + 1, "')' is missing");
    return pieces;
  }

 private:
  char Next(size_t ahead) const { return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0'; }

  void Take(size_t count, Pieces* pieces) {
    pieces->push_back({.column = at_ + 1, .text = std::string(text_.substr(at_, count))});
    at_ += count;
  }

  // '(' ... ')', with commas inside after a function's name.
  absl::Status Group(int depth, Pieces* pieces) {
    Take(1, pieces);
    MENTOR_ASSIGN_OR_RETURN(Pieces inner, Read(/*nested=*/true, depth + 1));
    if (Next(0) != ')')
      return At(at_ + 1, "')' is missing; commas belong between the arguments of a function");
    if (inner.empty()) return At(at_ + 1, "nothing stands between the parentheses");
    for (Piece& piece : inner) pieces->push_back(std::move(piece));
    Take(1, pieces);
    return absl::OkStatus();
  }

  // "[x, y, z]"
  absl::Status Vector(int depth, Pieces* pieces) {
    Piece vector{.column = at_ + 1, .function = "vector"};
    ++at_;
    for (;;) {
      MENTOR_ASSIGN_OR_RETURN(Pieces component, Read(/*nested=*/true, depth + 1));
      if (component.empty()) return At(at_ + 1, "a component of the vector is missing");
      vector.arguments.push_back(std::move(component));
      const char end = text_[at_++];
      if (end == ']') break;
      if (end == ')') return At(at_, "']' is missing before this");
    }
    pieces->push_back(std::move(vector));
    return absl::OkStatus();
  }

  absl::Status Number(Pieces* pieces) {
    size_t length = 0;
    while (IsDigit(Next(length)) || Next(length) == '.') ++length;
    if (Next(length) == 'e' || Next(length) == 'E') {
      size_t sign = Next(length + 1) == '-' || Next(length + 1) == '+' ? 2 : 1;
      if (IsDigit(Next(length + sign))) {
        length += sign;
        while (IsDigit(Next(length))) ++length;
      }
    }
    const std::string text(text_.substr(at_, length));
    double number = 0;
    if (!absl::SimpleAtod(text, &number) || !std::isfinite(number))
      return At(at_ + 1, absl::StrCat("'", text, "' is no number of 64 bits"));
    Take(length, pieces);
    return absl::OkStatus();
  }

  // a < b < c would compare 0 or 1 with c.
  static absl::Status NoChain(const Piece& piece, bool* compared) {
    const std::string& text = piece.text;
    const bool compares =
        text == "<" || text == ">" || text == "<=" || text == ">=" || text == "==" || text == "!=";
    if (compares && *compared) {
      return At(piece.column,
                "compares what a comparison gave, 0 or 1; write a < b && b < c, or "
                "parentheses");
    }
    if (compares) *compared = true;
    if (text == "&&" || text == "||" || text == "?" || text == ":") *compared = false;
    return absl::OkStatus();
  }

  absl::Status Operator(Pieces* pieces) {
    for (const char* two : {"<=", ">=", "==", "!=", "&&", "||"}) {
      if (text_.substr(at_, 2) == two) {
        Take(2, pieces);
        return absl::OkStatus();
      }
    }
    for (const size_t length : {size_t{2}, size_t{1}}) {
      const std::string_view text = text_.substr(at_, length);
      if (const Foreign* foreign = FindForeign(kForeignOperators, text)) {
        return At(at_ + 1, absl::StrCat("'", std::string(text), "' is no part of an expression; ",
                                        foreign->remedy));
      }
    }
    constexpr std::string_view kOne = "+-*/^<>?:";
    if (kOne.find(text_[at_]) == kOne.npos) {
      return At(at_ + 1,
                absl::StrCat("'", Printable(text_.substr(at_, 1)),
                             "' is no part of an expression; there are names, numbers, + - * / ^, "
                             "comparisons, && ||, a ? b : c, and functions"));
    }
    Take(1, pieces);
    return absl::OkStatus();
  }

  absl::Status Word(int depth, Pieces* pieces) {
    const size_t begin = at_;
    while (IsLetter(Next(0)) || IsDigit(Next(0))) ++at_;
    const std::string word(text_.substr(begin, at_ - begin));
    size_t ahead = 0;
    while (std::isspace(static_cast<unsigned char>(Next(ahead)))) ++ahead;
    if (Next(ahead) == '(') {
      at_ += ahead;
      return Call(word, begin + 1, depth, pieces);
    }
    std::string component;
    if (Next(0) == '.' && IsLetter(Next(1))) {
      size_t end = 1;
      while (IsLetter(Next(end)) || IsDigit(Next(end))) ++end;
      component = text_.substr(at_ + 1, end - 1);
      at_ += end;
    } else if (Next(0) == '[') {
      size_t end = 1;
      while (IsDigit(Next(end))) ++end;
      if (end == 1 || end > 6 || Next(end) != ']')
        return At(at_ + 1, "give the number of a component, from 0: name[0]");
      component = text_.substr(at_ + 1, end - 1);
      at_ += end + 1;
    }
    absl::StatusOr<std::vector<int>> places = scope_.Find(word, component);
    if (places.ok()) {
      pieces->push_back({.column = begin + 1, .places = *std::move(places)});
      return absl::OkStatus();
    }
    if (component.empty()) {
      if (word == "pi") {
        pieces->push_back({.column = begin + 1, .text = "_pi"});
        return absl::OkStatus();
      }
      for (size_t i = 0; i < std::size(kSigmoids); ++i) {
        if (word != kSigmoids[i].first) continue;
        pieces->push_back({.column = begin + 1, .text = absl::StrCat(i)});
        return absl::OkStatus();
      }
    }
    const Foreign* foreign = FindForeign(kForeignWords, word);
    if (foreign != nullptr && absl::IsNotFound(places.status()))
      return At(begin + 1, absl::StrCat("unknown name '", word, "'; ", foreign->remedy));
    return At(begin + 1, std::string(places.status().message()));
  }

  // At the '(' after a function's name.
  absl::Status Call(const std::string& name, size_t column, int depth, Pieces* pieces) {
    const Function* function = FindFunction(name);
    if (function == nullptr) return At(column, UnknownFunction(name));
    if (name == "contact" || name == "force") return Parts(name, column, pieces);
    ++at_;
    std::vector<Pieces> arguments;
    for (;;) {
      MENTOR_ASSIGN_OR_RETURN(arguments.emplace_back(), Read(/*nested=*/true, depth + 1));
      if (arguments.back().empty()) return At(at_ + 1, "an argument is missing");
      const char end = text_[at_++];
      if (end == ')') break;
      if (end == ']') return At(at_, "')' is missing before this");
    }
    const int count = static_cast<int>(arguments.size());
    if (count < function->least || count > function->most) {
      return At(column, absl::StrCat(name, " has ", count, " argument", count == 1 ? "" : "s",
                                     "; give ", function->least,
                                     function->most == kMany ? " or more"
                                     : function->most > function->least
                                         ? absl::StrCat(" to ", function->most)
                                         : ""));
    }
    if (name == "norm" || name == "dist") {
      pieces->push_back({.column = column, .function = name, .arguments = std::move(arguments)});
      return absl::OkStatus();
    }
    pieces->push_back({.column = column, .text = name + "("});
    for (size_t i = 0; i < arguments.size(); ++i) {
      if (i > 0) pieces->push_back({.column = column, .text = ","});
      for (Piece& piece : arguments[i]) pieces->push_back(std::move(piece));
    }
    pieces->push_back({.column = at_, .text = ")"});
    return absl::OkStatus();
  }

  // contact(a, b) and force(a): their arguments are names in the model, with any characters.
  absl::Status Parts(const std::string& name, size_t column, Pieces* pieces) {
    ++at_;
    const size_t end = text_.find(')', at_);
    if (end == text_.npos) return At(text_.size() + 1, "')' is missing");
    std::vector<std::string> names(1);
    for (const char c : text_.substr(at_, end - at_)) {
      if (c == ',') {
        names.emplace_back();
      } else if (c != ' ' || !names.back().empty()) {
        names.back() += c;
      }
    }
    for (std::string& one : names) {
      while (one.ends_with(' ')) one.pop_back();
    }
    at_ = end + 1;
    absl::StatusOr<int> place = 0;
    if (name == "force") {
      if (names.size() != 1) return At(column, "give the name of one sensor: force(NAME)");
      place = scope_.Force(names[0]);
    } else {
      if (names.size() != 2) return At(column, "give the names of two geoms: contact(A, B)");
      place = scope_.Contact(names[0], names[1]);
    }
    if (!place.ok()) return At(column, std::string(place.status().message()));
    pieces->push_back({.column = column, .places = {*place}});
    return absl::OkStatus();
  }

  const std::string_view text_;
  Scope& scope_;
  size_t at_ = 0;
};

// Number of components: 1, or that of the vectors in it.
absl::StatusOr<size_t> SizeOf(const Pieces& pieces) {
  size_t size = 1;
  for (const Piece& piece : pieces) {
    const size_t own = piece.function.empty()       ? piece.places.size()
                       : piece.function == "vector" ? piece.arguments.size()
                                                    : 1;
    if (own <= 1 || own == size) continue;
    if (size > 1) {
      return At(piece.column, absl::StrCat("has ", own, " components beside one of ", size,
                                           "; vectors of an expression have the same size"));
    }
    size = own;
  }
  return size;
}

// The text for muParser, with the column of each of its characters.
struct Code {
  std::string text;
  std::vector<size_t> columns;

  void Add(std::string_view more, size_t column) {
    text += more;
    columns.resize(text.size(), column);
  }
};

absl::Status Write(const Pieces& pieces, size_t component, Code* code) {
  for (const Piece& piece : pieces) {
    if (code->text.size() > kTextBytesMax) return TooLong(piece.column);
    if (piece.function == "vector") {
      code->Add("(", piece.column);
      const size_t index = piece.arguments.size() == 1 ? 0 : component;
      MENTOR_ASSIGN_OR_RETURN(const size_t own, SizeOf(piece.arguments[index]));
      if (own > 1) return At(piece.column, "a component of the vector is a vector; give numbers");
      MENTOR_RETURN_IF_ERROR(Write(piece.arguments[index], 0, code));
      code->Add(")", piece.column);
    } else if (!piece.function.empty()) {
      size_t size = 1;
      for (const Pieces& argument : piece.arguments) {
        MENTOR_ASSIGN_OR_RETURN(const size_t own, SizeOf(argument));
        if (own > 1 && size > 1 && own != size) {
          return At(piece.column, absl::StrCat(piece.function, " of vectors with ", size, " and ",
                                               own, " components; give vectors of one size"));
        }
        size = std::max(size, own);
      }
      code->Add("norm_(", piece.column);
      for (size_t i = 0; i < size; ++i) {
        if (i > 0) code->Add(",", piece.column);
        for (size_t a = 0; a < piece.arguments.size(); ++a) {
          code->Add(a > 0 ? "-(" : "(", piece.column);
          MENTOR_RETURN_IF_ERROR(Write(piece.arguments[a], i, code));
          code->Add(")", piece.column);
        }
      }
      code->Add(")", piece.column);
    } else if (!piece.places.empty()) {
      const size_t index = piece.places.size() == 1 ? 0 : component;
      code->Add(VariableName(piece.places[index]), piece.column);
    } else {
      code->Add(piece.text, piece.column);
    }
    code->Add(" ", piece.column);  // muParser would read "1" and "2" side by side as 12.
  }
  return absl::OkStatus();
}

void CollectPlaces(const Pieces& pieces, std::set<int>* places) {
  for (const Piece& piece : pieces) {
    places->insert(piece.places.begin(), piece.places.end());
    for (const Pieces& argument : piece.arguments) CollectPlaces(argument, places);
  }
}

void DefineFunctions(mu::Parser* parser) {
  parser->DefineFun("norm_", NormOf);
  parser->DefineFun("tolerance", ToleranceOf);
  parser->DefineFun("clip", ClipOf);
}

// Defines the variables that a text reads.
void DefineVariables(const std::string& text, std::span<double> variables, mu::Parser* parser) {
  for (size_t at = 0; at < text.size(); ++at) {
    if (text[at] != 'v' || (at > 0 && (IsLetter(text[at - 1]) || IsDigit(text[at - 1])))) continue;
    size_t place = 0, end = at + 1;
    for (; end < text.size() && IsDigit(text[end]); ++end) place = 10 * place + (text[end] - '0');
    if (end == at + 1 || (end < text.size() && IsLetter(text[end]))) continue;
    MENTOR_CHECK(place < variables.size());
    parser->DefineVar(text.substr(at, end - at), &variables[place]);
  }
}

// muParser's errors give a place in its text; ours give the place in the user's.
absl::Status TrialParse(const Code& code, const std::set<int>& places) {
  std::vector<double> numbers(places.empty() ? 1 : *places.rbegin() + 1, 0.5);
  if (code.text.size() > kTextBytesMax) return TooLong(1);
  try {
    mu::Parser parser;
    DefineFunctions(&parser);
    DefineVariables(code.text, numbers, &parser);
    parser.SetExpr(code.text);
    int count = 0;
    parser.Eval(count);
    if (count != 1) return At(1, "is several numbers with commas between them; give one");
  } catch (const mu::ParserError& error) {
    const auto at = static_cast<size_t>(std::max(0, static_cast<int>(error.GetPos())));
    const size_t column = at < code.columns.size() ? code.columns[at]
                          : code.columns.empty()   ? 1
                                                   : code.columns.back();
    switch (error.GetCode()) {
      case mu::ecUNEXPECTED_PARENS:
        if (error.GetToken() == "(") return At(column, "an operator is missing before this");
        return At(column, "ends where a number or a name must follow");
      case mu::ecUNEXPECTED_EOF:
        return At(column, "ends where a number or a name must follow");
      case mu::ecUNEXPECTED_OPERATOR:
        return At(column, "an operator stands where a number or a name must");
      case mu::ecUNEXPECTED_VAL:
      case mu::ecUNEXPECTED_VAR:
      case mu::ecUNEXPECTED_FUN:
        return At(column, "an operator is missing before this");
      case mu::ecMISSING_ELSE_CLAUSE:
        return At(column, "':' is missing after '?'");
      case mu::ecMISPLACED_COLON:
        return At(column, "':' without '?' before it");
      default:
        return At(column, error.GetMsg());
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Expression> Compile(std::string_view text, Scope& scope) {
  Reader reader(text, scope);
  MENTOR_ASSIGN_OR_RETURN(const Pieces pieces, reader.Read(/*nested=*/false, 0));
  if (pieces.empty()) return At(1, "is empty; give an expression");
  MENTOR_ASSIGN_OR_RETURN(const size_t size, SizeOf(pieces));
  std::set<int> places;
  CollectPlaces(pieces, &places);
  Expression expression;
  for (size_t i = 0; i < size; ++i) {
    Code code;
    MENTOR_RETURN_IF_ERROR(Write(pieces, i, &code));
    // All of them: components differ between brackets.
    MENTOR_RETURN_IF_ERROR(TrialParse(code, places));
    expression.components.push_back(std::move(code.text));
  }
  expression.places.assign(places.begin(), places.end());
  return expression;
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
    DefineFunctions(&part);
    DefineVariables(joined, variables, &part);
    part.SetExpr(joined);
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
