// Expressions of bundles' tasks: arithmetic by muParser over one flat array of numbers, in which
// every name has its places. Names, sizes and functions are checked when an expression is compiled,
// with the column of what is wrong. A compiled expression is text for muParser, immutable; a
// Program belongs to one thread.
//
// An expression is written once and stands for a vector: `tip - target` has three components, and
// `norm(tip - target)` one.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

namespace mentor::envs::mjcf {

// What the names of an expression mean. Errors say what there is instead.
class Scope {
 public:
  virtual ~Scope() = default;
  // Places of all numbers of `name` (component empty), or of one: "x", or "2" of `name[2]`.
  // NOT_FOUND: nothing has that name.
  virtual absl::StatusOr<std::vector<int>> Find(const std::string& name,
                                                const std::string& component) = 0;
  // Whether two geoms touch (1 or 0).
  virtual absl::StatusOr<int> Contact(const std::string& geom, const std::string& other) = 0;
  // What a touch or force sensor measures: the length of the vector.
  virtual absl::StatusOr<int> Force(const std::string& sensor) = 0;
};

struct Expression {
  std::vector<std::string> components;  // One text for each.
  std::vector<int> places;              // Those that they read, ascending.
};

// INVALID_ARGUMENT: "column 7: ...".
absl::StatusOr<Expression> Compile(std::string_view text, Scope& scope);

// Texts that are evaluated together, over one array that outlives the program.
class Program {
 public:
  // `texts` must be components of compiled expressions.
  Program(std::vector<std::string> texts, std::span<double> variables);
  ~Program();
  Program(Program&&) noexcept;

  size_t size() const;
  // results: one for each text. False when something was divided by zero on the way or had no
  // result (sqrt(-1)), or when a result is no finite number; allocates nothing.
  bool Run(std::span<double> results);
  // The first text for which that is so.
  size_t Culprit();

 private:
  struct Parsers;
  std::unique_ptr<Parsers> parsers_;
};

}  // namespace mentor::envs::mjcf
