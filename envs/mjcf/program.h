// Arithmetic by muParser over one flat array of numbers, in texts that Compile writes
// (expression.h): "v12" is number 12 of the array. A Program belongs to one thread.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace mentor::envs::mjcf {

// The limit for one text.
inline constexpr size_t kProgramTextBytesMax = 19'900;
// The limit of all expressions of an environment together, so of each one, with vectors written
// out: each environment has its own program of them.
inline constexpr size_t kTextsBytesMax = 1'000'000;

// What is wrong with a text.
struct Flaw {
  size_t at = 0;  // The place in the text, or one beyond it.
  std::string what;
};
// Returns the first flaw in the order of operands and operators, if there is one.
std::optional<Flaw> FindFlaw(const std::string& text);

// Texts that are evaluated together, over one array that outlives the program.
class Program {
 public:
  // `texts` must be components of compiled expressions.
  Program(std::vector<std::string> texts, std::span<double> variables);
  ~Program();
  Program(Program&&) noexcept;

  size_t size() const;
  // results: one for each text. False when something was divided by zero or had no result
  // (sqrt(-1)), or when a result is not finite. Allocates nothing.
  bool Run(std::span<double> results);
  // The first text that caused it.
  size_t Culprit();

 private:
  struct Parsers;
  std::unique_ptr<Parsers> parsers_;
};

}  // namespace mentor::envs::mjcf
