// Expressions of bundles' tasks, over numbers that a test has made up.
#include "envs/mjcf/expression.h"

#include <cmath>
#include <map>

#include "envs/mjcf/program.h"
#include "tests/testing.h"
#include "tests/text.h"

namespace mentor::envs::mjcf::TEST_FILE {

using mentor::testing::Contains;
using mentor::testing::Near;

// a = (1, 2, 3), b = (4, 6, 3), two = (7, 8), n = 5, zero = 0
class Made : public Scope {
 public:
  absl::StatusOr<std::vector<int>> Find(const std::string& name,
                                        const std::string& component) override {
    const auto found = places_.find(name);
    if (found == places_.end()) return absl::NotFoundError("unknown name '" + name + "'");
    if (component.empty()) return found->second;
    const std::map<std::string, size_t> index = {{"x", 0}, {"y", 1}, {"z", 2}, {"0", 0}, {"1", 1}};
    const auto at = index.find(component);
    if (at == index.end() || at->second >= found->second.size())
      return absl::InvalidArgumentError("no component '" + component + "'");
    return std::vector<int>{found->second[at->second]};
  }
  absl::StatusOr<int> Contact(const std::string& geom, const std::string& other) override {
    if (geom == "robot0:left finger" && other == "box") return 8;
    return absl::InvalidArgumentError("no geom '" + geom + "'");
  }
  absl::StatusOr<int> Force(const std::string& sensor) override {
    if (sensor == "pad") return 9;
    return absl::InvalidArgumentError("no sensor '" + sensor + "'");
  }

  std::vector<double> numbers = {1, 2, 3, 4, 6, 3, 7, 8, 1, 2.5, 5, 0};

 private:
  const std::map<std::string, std::vector<int>> places_ = {
      {"a", {0, 1, 2}}, {"b", {3, 4, 5}}, {"two", {6, 7}}, {"n", {10}}, {"zero", {11}}};
};

std::vector<double> Values(const std::string& text) {
  Made scope;
  const auto compiled = Compile(text, scope);
  INFO(text << ": " << compiled.status().ToString());
  REQUIRE(compiled.ok());
  Program program(compiled->components, scope.numbers);
  std::vector<double> values(program.size());
  CHECK(program.Run(values));
  return values;
}

double Value(const std::string& text) {
  const std::vector<double> values = Values(text);
  INFO(text);
  REQUIRE(values.size() == 1);
  return values[0];
}

std::string Wrong(const std::string& text) {
  Made scope;
  const auto compiled = Compile(text, scope);
  INFO(text);
  REQUIRE_FALSE(compiled.ok());
  CHECK(compiled.status().code() == absl::StatusCode::kInvalidArgument);
  return std::string(compiled.status().message());
}

TEST_CASE("expressions: arithmetic, comparisons and choices as people write them", "[unit]") {
  CHECK(Value("1 + 2 * 3 ^ 2") == 19);
  CHECK(Value("-2^2") == -4);
  CHECK(Value("2e-3 * 1.5E+2 + .5") == 0.8);
  CHECK(Value("n / 2 - 1") == 1.5);
  CHECK(Value("a.x + a[1] * b.z") == 7);
  CHECK(Value("n > 4 && a.x >= 1 || zero") == 1);
  CHECK(Value("n == 5 ? 10 : 20") == 10);
  CHECK(Value("n != 5 ? 10 : zero > 1 ? 20 : 30") == 30);
  CHECK(Value("min(n, 3, 4) + max(1, n) + abs(-2) + sum(1, 2, 3)") == 16);
  CHECK(Value("cos(pi)") == -1);
  CHECK(Value("clip(n, 0, 1) + clip(-n, -2, 1)") == -1);
  CHECK(Value("atan2(1, 1)") == std::atan2(1, 1));
  CHECK(Value("((((n))))") == 5);
}

TEST_CASE("expressions: a vector is written once and stands for its components", "[unit]") {
  CHECK(Values("b - a") == std::vector<double>{3, 4, 0});
  CHECK(Values("2 * (a + b) / n") == std::vector<double>{2, 3.2, 2.4});
  CHECK(Values("a * b.x") == std::vector<double>{4, 8, 12});
  CHECK(Values("[n, 2, a.z] - a") == std::vector<double>{4, 0, 0});
  CHECK(Values("max(a, 2)") == std::vector<double>{2, 2, 3});
  CHECK(Values("two") == std::vector<double>{7, 8});
  CHECK(Value("norm(b - a)") == 5);
  CHECK(Value("dist(a, b)") == 5);
  CHECK(Value("dist(a, [1, 2, 3 + 4])") == 4);
  CHECK(Value("norm(two - [4, 4])") == 5);
  CHECK(Value("norm(-n)") == 5);
  CHECK(Value("dist((a + b) / 2, a) + norm(a * dist(a, b) / 5)") == 2.5 + std::sqrt(14.0));
}

TEST_CASE("expressions: tolerance is dm_control's", "[unit]") {
  CHECK(Value("tolerance(n, 4, 6, 1)") == 1);
  CHECK(Value("tolerance(n, 0, 4)") == 0);
  CHECK(Near(Value("tolerance(n, 0, 4, 1, long_tail)"), 0.1, {.abs = 1e-12}));
  CHECK(Near(Value("tolerance(n, 0, 4, 1)"), 0.1, {.abs = 1e-12}));
  CHECK(Near(Value("tolerance(n, 0, 4, 1, gaussian, 0.3)"), 0.3, {.abs = 1e-12}));
  CHECK(Value("tolerance(n, 0, 4, 2, linear, 0)") == 0.5);
  CHECK(Value("tolerance(n, 0, 4, 2, quadratic, 0)") == 0.75);
  CHECK(Near(Value("tolerance(n, 6, 9, 1, cosine, 0.1)"), 0.1, {.abs = 1e-12}));
  CHECK(Near(Value("tolerance(n, 6, 9, 1, hyperbolic, 0.2)"), 0.2, {.abs = 1e-12}));
  CHECK(Near(Value("tolerance(n, 6, 9, 1, reciprocal)"), 0.1, {.abs = 1e-12}));
  CHECK(Near(Value("tolerance(n, 6, 9, 1, tanh_squared, 0.4)"), 0.4, {.abs = 1e-12}));
}

TEST_CASE("expressions: contact and force take names of the model, whatever these look like",
          "[unit]") {
  CHECK(Value("contact(robot0:left finger, box) * 3") == 3);
  CHECK(Value("force( pad ) > 2") == 1);
  CHECK(Wrong("1 + contact(box, box)") == "column 5: no geom 'box'");
  CHECK(Wrong("contact(box)") == "column 1: give the names of two geoms: contact(A, B)");
  CHECK(Wrong("force(a, b)") == "column 1: give the name of one sensor: force(NAME)");
  CHECK(Wrong("force(pad") == "column 10: ')' is missing");
}

TEST_CASE("expressions: more text than muParser takes at once", "[unit]") {
  Made scope;
  std::string sum = "n";
  for (int i = 0; i < 1000; ++i) sum += " + n";
  const auto compiled = Compile(sum, scope);
  REQUIRE(compiled.ok());
  Program program(std::vector<std::string>(20, compiled->components[0]), scope.numbers);
  std::vector<double> values(program.size());
  CHECK(program.Run(values));
  CHECK(values == std::vector<double>(20, 5005));
  scope.numbers[10] = 1;
  CHECK(program.Run(values));
  CHECK(values == std::vector<double>(20, 1001));
  std::string longer = "[1, n";
  for (int i = 0; i < 4000; ++i) longer += " + n";
  CHECK(Contains(Wrong(longer + "]"), "too long with its vectors written out"));
}

TEST_CASE("expressions: what is wrong is said with its column", "[unit]") {
  CHECK(Wrong("") == "column 1: is empty; give an expression");
  CHECK(Wrong("n + missing") == "column 5: unknown name 'missing'");
  CHECK(Wrong("n + a.q") == "column 5: no component 'q'");
  CHECK(Wrong("n + a[7]") == "column 5: no component '7'");
  CHECK(Wrong("n * squrt(2)") == "column 5: unknown function 'squrt'; did you mean 'sqrt'?");
  CHECK(Wrong("sqrt(1, 2)") == "column 1: sqrt has 2 arguments; give 1");
  CHECK(Wrong("clip(1)") == "column 1: clip has 1 argument; give 3");
  CHECK(Contains(Wrong("tolerance(1, 2)"), "column 1: tolerance has 2 arguments; give 3 to 6"));
  CHECK(Contains(Wrong("n +"), "ends where a number or a name must follow"));
  CHECK(Contains(Wrong("n + * 2"), "column 5: an operator stands where"));
  CHECK(Contains(Wrong("n 2"), "column 3: an operator is missing"));
  CHECK(Contains(Wrong("(n + 2"), "')' is missing"));
  CHECK(Contains(Wrong("n) + 2"), "column 2: ')' without a '('"));
  CHECK(Contains(Wrong("1, 2"), "column 2: ',' without a '('"));
  CHECK(Contains(Wrong("(1, 2)"), "column 3: ')' is missing; commas belong"));
  CHECK(Contains(Wrong("n ? 2"), "':' is missing after '?'"));
  CHECK(Contains(Wrong("n = 2"), "column 3: '=' is no part of an expression"));
  CHECK(Contains(Wrong("n; 2"), "column 2: ';' is no part of an expression"));
  CHECK(Contains(Wrong("a + two"), "column 5: has 2 components beside one of 3"));
  CHECK(Contains(Wrong("dist(a, two)"), "dist of vectors with 3 and 2 components"));
  CHECK(Contains(Wrong("[a, 1]"), "column 1: a component of the vector is a vector"));
  CHECK(Contains(Wrong("[1, , 2]"), "a component of the vector is missing"));
  CHECK(Contains(Wrong("[1, n 2]"), "column 7: an operator is missing"));
  CHECK(Contains(Wrong("2 * (n +)"), "ends where a number or a name must follow"));
  CHECK(Contains(Wrong("[1, n +]"), "ends where a number or a name must follow"));
  CHECK(Contains(Wrong("min(1, )"), "an argument is missing"));
  CHECK(Contains(Wrong("()"), "nothing stands between the parentheses"));
  CHECK(Contains(Wrong("n\x01"), "is no part of an expression"));
  CHECK(Contains(Wrong(std::string(5000, '(')), "too deep"));
  CHECK(Contains(Wrong("_pi + 1"), "unknown name '_pi'"));
  CHECK(Contains(Wrong("v3 + 1"), "unknown name 'v3'"));
}

TEST_CASE("expressions: what other languages write is told with what stands for it here",
          "[unit]") {
  CHECK(Wrong("n ** 2") == "column 3: '**' is no part of an expression; write x ^ y");
  CHECK(Contains(Wrong("!(n > 1)"), "column 1: '!' is no part of an expression; write x == 0"));
  CHECK(Contains(Wrong("n = 5"), "write =="));
  CHECK(Contains(Wrong("n > 1 & n < 3"), "column 7: '&' is no part of an expression; write &&"));
  CHECK(Contains(Wrong("n > 1 | n < 3"), "write ||"));
  CHECK(Wrong("n > 1 and n < 3") == "column 7: unknown name 'and'; write &&");
  CHECK(Wrong("1 if n > 1 else 0") == "column 3: unknown name 'if'; write c ? x : y");
  CHECK(Wrong("not(n)") == "column 1: unknown function 'not'; write x == 0");
  CHECK(Wrong("log(n)") == "column 1: unknown function 'log'; write ln(x)");
  CHECK(Wrong("pow(n, 2)") == "column 1: unknown function 'pow'; write x ^ y");
  CHECK(Contains(Wrong("np.exp(n)"), "functions stand by themselves"));
  CHECK(Wrong("True") == "column 1: unknown name 'True'; write 1");
  CHECK(Contains(Wrong("2(n)"), "an operator is missing before this"));
  CHECK(Wrong("n + 1e999") == "column 5: '1e999' is no number of 64 bits");
  CHECK(Wrong("1.2.3") == "column 1: '1.2.3' is no number of 64 bits");
}

TEST_CASE("expressions: comparisons do not make chains", "[unit]") {
  CHECK(Contains(Wrong("0 < n < 9"), "column 7: compares what a comparison gave"));
  CHECK(Contains(Wrong("n == 5 == zero"), "compares what a comparison gave"));
  CHECK(Contains(Wrong("min(0 <= n <= 9, 1)"), "compares what a comparison gave"));
  CHECK(Value("0 < n && n < 9 || n != 2") == 1);
  CHECK(Value("(0 < n) == (n < 9)") == 1);
  CHECK(Value("n > 1 ? n < 9 : n > 2") == 1);
}

TEST_CASE("expressions: a division by zero and a number that is none are noticed", "[unit]") {
  Made scope;
  const auto run = [&scope](const std::vector<std::string>& texts, std::vector<double>* results) {
    std::vector<std::string> codes;
    for (const std::string& text : texts) codes.push_back(Compile(text, scope)->components[0]);
    Program program(codes, scope.numbers);
    results->resize(codes.size());
    const bool good = program.Run(*results);
    return good ? -1 : static_cast<int>(program.Culprit());
  };
  std::vector<double> results;
  CHECK(run({"n", "n / zero", "2"}, &results) == 1);
  CHECK(run({"n", "n + 1", "ln(zero)"}, &results) == 2);
  CHECK(run({"sqrt(-n)", "n"}, &results) == 0);
  CHECK(run({"n", "exp(1000)"}, &results) == 1);
  // The division fails even if the result hides it.
  CHECK(run({"n", "n / zero > 1 ? 1 : 2"}, &results) == 1);
  CHECK(run({"n", "zero / zero > 1"}, &results) == 1);
  CHECK(run({"sqrt(-n) < 0.1", "n"}, &results) == 0);
  CHECK(run({"max(0, acos(n)) > 1", "n"}, &results) == 0);
  // The branch that is not chosen is not computed.
  CHECK(run({"zero == 0 ? 1 : n / zero", "n"}, &results) == -1);
  CHECK(results == std::vector<double>{1, 5});
  CHECK(run({"tolerance(n, 0, 1, -1)"}, &results) == 0);  // A negative margin.
  CHECK(run({}, &results) == -1);
}

}  // namespace mentor::envs::mjcf::TEST_FILE
