#include "envs/mjcf/expression.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <set>

#include <absl/strings/ascii.h>
#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_split.h>

#include "common/check.h"
#include "common/edit_distance.h"
#include "common/printable.h"
#include "envs/mjcf/program.h"
#include "envs/tolerance.h"

namespace mentor::envs::mjcf {
namespace {

constexpr int kDepthMax = 100;

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

// Words and operators of Python or C, and what replaces them here. A task's names come first.
struct Foreign {
  const char* remedy;
  std::array<std::string_view, 3> words;
};
constexpr Foreign kForeign[] = {{"write x ^ y", {"**", "pow"}},
                                {"write x == 0", {"!", "not"}},
                                {"write ==", {"="}},
                                {"write &&", {"&", "and"}},
                                {"write ||", {"|", "or"}},
                                {"write c ? x : y", {"if", "else", "where"}},
                                {"write 1", {"True", "true"}},
                                {"write 0", {"False", "false"}},
                                {"functions stand by themselves: exp(x)", {"np", "numpy", "math"}},
                                {"write the name of a part of the model", {"data"}},
                                {"write the name of the joint", {"qpos"}},
                                {"write NAME.v of the joint", {"qvel"}},
                                {"write ln(x)", {"log"}},
                                {"write x ^ 2", {"square"}},
                                {"write rint(x)", {"round"}}};

// Null: the word is not foreign.
const char* RemedyOf(std::string_view word) {
  for (const auto& [remedy, words] : kForeign) {
    if (std::find(words.begin(), words.end(), word) != words.end()) return remedy;
  }
  return nullptr;
}

std::string UnknownFunction(std::string_view name) {
  if (const char* remedy = RemedyOf(name))
    return absl::StrCat("unknown function '", std::string(name), "'; ", remedy);
  std::vector<std::string> names;
  for (const Function& function : kFunctions) names.emplace_back(function.name);
  return absl::StrCat("unknown function '", Printable(name), "'; ",
                      NameHint(std::string(name), names));
}

// --- From what people write to what muParser reads ---

// A text for muParser, with the column of each of its characters, from 1.
struct Code {
  std::string text;
  std::vector<uint32_t> columns;

  void Add(std::string_view more, size_t column) {
    text += more;
    columns.resize(text.size(), static_cast<uint32_t>(column));
  }
  void Add(const Code& more) {
    text += more.text;
    columns.insert(columns.end(), more.columns.begin(), more.columns.end());
  }
};

// A term of an expression: one code, or one for each component of a vector.
struct Term {
  std::vector<Code> components = std::vector<Code>(1);
  size_t column = 0;  // Where the number of components comes from.

  bool empty() const { return components[0].text.empty(); }
  const Code& at(size_t component) const {
    return components[components.size() == 1 ? 0 : component];
  }
};

absl::Status At(size_t column, const std::string& what) {
  return absl::InvalidArgumentError(absl::StrCat("column ", column, ": ", what));
}
absl::Status TooLong(size_t column) {
  return At(column, "the expression is too long with its vectors written out; name parts of it");
}

// Returns a term of one word. The space is needed: muParser would read "1" and "2" side by side
// as 12.
Term Piece(std::string_view text, size_t column) {
  Term part{.column = column};
  part.components[0].Add(std::string(text) + " ", column);
  return part;
}

// Appends a part; one component stands for a vector of equal ones.
absl::Status Append(const Term& more, Term* part) {
  const size_t size = more.components.size();
  if (size > 1 && part->components.size() == 1) {
    part->components.resize(size, Code(part->components[0]));
    part->column = more.column;
  }
  if (size > 1 && size != part->components.size()) {
    return At(more.column,
              absl::StrCat("has ", size, " components beside one of ", part->components.size(),
                           "; vectors of an expression have the same size"));
  }
  size_t bytes = 0;
  for (size_t i = 0; i < part->components.size(); ++i) {
    Code& code = part->components[i];
    code.Add(more.at(i));
    bytes += code.text.size();
    if (code.text.size() > kProgramTextBytesMax || bytes > kTextsBytesMax)
      return TooLong(more.at(i).columns[0]);
  }
  return absl::OkStatus();
}

bool IsLetter(char c) {
  return absl::ascii_isalpha(static_cast<unsigned char>(c)) || c == '_';
}
bool IsDigit(char c) {
  return absl::ascii_isdigit(static_cast<unsigned char>(c));
}
bool IsSpace(char c) {
  return absl::ascii_isspace(static_cast<unsigned char>(c));
}

class Reader {
 public:
  Reader(std::string_view text, Scope& scope) : text_(text), scope_(scope) {}

  // Reads up to the end. Within a function's or plain parentheses, reads up to the closing one or a
  // comma.
  absl::StatusOr<Term> Read(bool nested, int depth) {
    if (depth > kDepthMax) return At(at_ + 1, "parentheses lie too deep in each other");
    Term part;
    bool compared = false;  // A comparison came before, and this may belong to it.
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == ')' || c == ',' || c == ']') {
        if (nested) return part;
        return At(at_ + 1, absl::StrCat("'", std::string(1, c), "' without a '",
                                        c == ']' ? "[" : "(", "' before it"));
      }
      if (IsSpace(c)) {
        ++at_;
        continue;
      }
      const bool digit = IsDigit(c) || (c == '.' && IsDigit(Next(1)));
      MENTOR_ASSIGN_OR_RETURN(const Term next, c == '('      ? Group(depth)
                                               : c == '['    ? Vector(depth)
                                               : digit       ? Number()
                                               : IsLetter(c) ? Word(depth)
                                                             : Operator(&compared));
      MENTOR_RETURN_IF_ERROR(Append(next, &part));
    }
    if (nested) return At(text_.size() + 1, "')' is missing");
    return part;
  }

  const std::set<int>& places() const { return places_; }

 private:
  char Next(size_t ahead) const { return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0'; }

  // The length of the word that begins so far ahead.
  size_t WordLength(size_t ahead) const {
    size_t length = 0;
    while (IsLetter(Next(ahead + length)) || IsDigit(Next(ahead + length))) ++length;
    return length;
  }

  Term Take(size_t count) {
    at_ += count;
    return Piece(text_.substr(at_ - count, count), at_ - count + 1);
  }

  // '(' ... ')', with commas inside after a function's name.
  absl::StatusOr<Term> Group(int depth) {
    Term group = Take(1);
    MENTOR_ASSIGN_OR_RETURN(const Term inner, Read(/*nested=*/true, depth + 1));
    if (Next(0) != ')')
      return At(at_ + 1, "')' is missing; commas belong between the arguments of a function");
    if (inner.empty()) return At(at_ + 1, "nothing stands between the parentheses");
    MENTOR_RETURN_IF_ERROR(Append(inner, &group));
    MENTOR_RETURN_IF_ERROR(Append(Take(1), &group));
    return group;
  }

  // "[x, y, z]"
  absl::StatusOr<Term> Vector(int depth) {
    Term vector{.components = {}, .column = at_ + 1};
    MENTOR_ASSIGN_OR_RETURN(const std::vector<Term> components,
                            List(']', "a component of the vector is missing", depth));
    for (const Term& component : components) {
      if (component.components.size() > 1)
        return At(vector.column, "a component of the vector is a vector; give numbers");
      Code& code = vector.components.emplace_back();
      code.Add("(", vector.column);
      code.Add(component.at(0));
      code.Add(") ", vector.column);
    }
    return vector;
  }

  // Reads from an opening parenthesis or bracket up to `end`, with commas between the parts.
  absl::StatusOr<std::vector<Term>> List(char end, const char* missing, int depth) {
    std::vector<Term> parts;
    do {
      ++at_;
      MENTOR_ASSIGN_OR_RETURN(parts.emplace_back(), Read(/*nested=*/true, depth + 1));
      if (parts.back().empty()) return At(at_ + 1, missing);
    } while (text_[at_] == ',');
    if (text_[at_++] != end)
      return At(at_, absl::StrCat("'", std::string(1, end), "' is missing before this"));
    return parts;
  }

  absl::StatusOr<Term> Number() {
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
    return Take(length);
  }

  // `compared`: a comparison came before, and this may belong to it. a < b < c would compare 0 or 1
  // with c.
  absl::StatusOr<Term> Operator(bool* compared) {
    constexpr std::string_view kOperators[] = {"<=", ">=", "==", "!=", "<", ">", "&&", "||",
                                               "?",  ":",  "+",  "-",  "*", "/", "^"};
    constexpr int kComparisons = 6, kEndsComparison = 10;  // The first ones of these.
    const std::string_view rest = text_.substr(at_);
    const auto starts = [rest](std::string_view text) { return rest.starts_with(text); };
    const auto found = std::find_if(std::begin(kOperators), std::end(kOperators), starts);
    const auto index = found - std::begin(kOperators);
    if (found == std::end(kOperators) || starts("**")) {
      for (const size_t length : {2, 1}) {
        const std::string text(rest.substr(0, length));
        if (const char* remedy = RemedyOf(text))
          return At(at_ + 1, absl::StrCat("'", text, "' is no part of an expression; ", remedy));
      }
      return At(at_ + 1,
                absl::StrCat("'", Printable(rest.substr(0, 1)),
                             "' is no part of an expression; there are names, numbers, + - * / ^, "
                             "comparisons, && ||, a ? b : c, and functions"));
    }
    if (index < kComparisons && *compared) {
      return At(at_ + 1,
                "compares what a comparison gave, 0 or 1; write a < b && b < c, or "
                "parentheses");
    }
    if (index < kEndsComparison) *compared = index < kComparisons;
    return Take(found->size());
  }

  absl::StatusOr<Term> Word(int depth) {
    const size_t column = at_ + 1, length = WordLength(0);
    const std::string word(text_.substr(at_, length));
    at_ += length;
    size_t ahead = 0;
    while (IsSpace(Next(ahead))) ++ahead;
    if (Next(ahead) == '(') {
      at_ += ahead;
      return Call(word, column, depth);
    }
    std::string component;
    if (Next(0) == '.' && IsLetter(Next(1))) {
      component = text_.substr(at_ + 1, WordLength(1));
      at_ += component.size() + 1;
    } else if (Next(0) == '[') {
      size_t end = 1;
      while (IsDigit(Next(end))) ++end;
      if (end == 1 || end > 6 || Next(end) != ']')
        return At(at_ + 1, "give the number of a component, from 0: name[0]");
      component = text_.substr(at_ + 1, end - 1);
      at_ += end + 1;
    }
    absl::StatusOr<std::vector<int>> places = scope_.Find(word, component);
    if (places.ok() && places->empty()) return At(column, "has no components");
    if (places.ok()) return Variables(*places, column);
    if (component.empty()) {
      if (word == "pi") return Piece("_pi", column);
      for (size_t i = 0; i < std::size(kSigmoids); ++i) {
        if (word == kSigmoids[i].first) return Piece(absl::StrCat(i), column);
      }
    }
    const char* remedy = RemedyOf(word);
    if (remedy != nullptr && absl::IsNotFound(places.status()))
      return At(column, absl::StrCat("unknown name '", word, "'; ", remedy));
    return At(column, std::string(places.status().message()));
  }

  Term Variables(const std::vector<int>& places, size_t column) {
    places_.insert(places.begin(), places.end());
    Term part{.components = {}, .column = column};
    for (const int place : places)
      part.components.emplace_back().Add(absl::StrCat("v", place, " "), column);
    return part;
  }

  // At the '(' after a function's name.
  absl::StatusOr<Term> Call(const std::string& name, size_t column, int depth) {
    const Function* function = FindFunction(name);
    if (function == nullptr) return At(column, UnknownFunction(name));
    if (name == "contact" || name == "force") return ModelParts(name, column);
    MENTOR_ASSIGN_OR_RETURN(const std::vector<Term> arguments,
                            List(')', "an argument is missing", depth));
    const int count = static_cast<int>(arguments.size());
    if (count < function->least || count > function->most) {
      return At(column, absl::StrCat(name, " has ", count, " argument", count == 1 ? "" : "s",
                                     "; give ", function->least,
                                     function->most == kMany ? " or more"
                                     : function->most > function->least
                                         ? absl::StrCat(" to ", function->most)
                                         : ""));
    }
    if (name == "norm" || name == "dist") return Norm(name, arguments, column);
    Term call = Piece(name + "(", column);
    for (int i = 0; i < count; ++i) {
      if (i > 0) MENTOR_RETURN_IF_ERROR(Append(Piece(",", column), &call));
      MENTOR_RETURN_IF_ERROR(Append(arguments[i], &call));
    }
    MENTOR_RETURN_IF_ERROR(Append(Piece(")", at_), &call));
    return call;
  }

  // The length of a vector, or of the difference of two.
  static absl::StatusOr<Term> Norm(const std::string& name, const std::vector<Term>& arguments,
                                   size_t column) {
    size_t size = 1;
    for (const Term& argument : arguments) {
      const size_t own = argument.components.size();
      if (own > 1 && size > 1 && own != size) {
        return At(column, absl::StrCat(name, " of vectors with ", size, " and ", own,
                                       " components; give vectors of one size"));
      }
      size = std::max(size, own);
    }
    Term norm{.column = column};
    Code& code = norm.components[0];
    code.Add("norm_(", column);
    for (size_t i = 0; i < size; ++i) {
      if (i > 0) code.Add(",", column);
      for (size_t a = 0; a < arguments.size(); ++a) {
        code.Add(a > 0 ? "-(" : "(", column);
        code.Add(arguments[a].at(i));
        code.Add(")", column);
      }
    }
    code.Add(") ", column);
    return norm;
  }

  // contact(a, b) and force(a): their arguments are names in the model, with any characters.
  absl::StatusOr<Term> ModelParts(const std::string& name, size_t column) {
    ++at_;
    const size_t end = text_.find(')', at_);
    if (end == text_.npos) return At(text_.size() + 1, "')' is missing");
    std::vector<std::string> names = absl::StrSplit(std::string(text_.substr(at_, end - at_)), ',');
    for (std::string& one : names) absl::StripAsciiWhitespace(&one);
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
    return Variables({*place}, column);
  }

  const std::string_view text_;
  Scope& scope_;
  size_t at_ = 0;
  std::set<int> places_;
};

}  // namespace

absl::StatusOr<Expression> Compile(std::string_view text, Scope& scope) {
  Reader reader(text, scope);
  MENTOR_ASSIGN_OR_RETURN(const Term part, reader.Read(/*nested=*/false, 0));
  if (part.empty()) return At(1, "is empty; give an expression");
  Expression expression;
  for (const Code& code : part.components) {
    // All of them: components differ between brackets.
    if (const auto flaw = FindFlaw(code.text))
      return At(code.columns[std::min(flaw->at, code.columns.size() - 1)], flaw->what);
    expression.components.push_back(code.text);
  }
  expression.places.assign(reader.places().begin(), reader.places().end());
  return expression;
}

}  // namespace mentor::envs::mjcf
