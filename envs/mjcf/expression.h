// Expressions of bundles' tasks: arithmetic over one flat array of numbers, in which every name has
// its places. Compiling an expression checks names, sizes and functions; errors name the column. A
// compiled expression is text for a Program (program.h), immutable.
//
// An expression is written once and stands for a vector: `tip - target` has three components, and
// `norm(tip - target)` one.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <absl/status/statusor.h>

namespace mentor::envs::mjcf {

// The meaning of an expression's names. Errors list the alternatives.
class Scope {
 public:
  virtual ~Scope() = default;
  // Places of all numbers of `name` (component empty), or of one: "x", or "2" of `name[2]`.
  // NOT_FOUND: the name is unknown.
  virtual absl::StatusOr<std::vector<int>> Find(const std::string& name,
                                                const std::string& component) = 0;
  // Place of the contact of two geoms (1 or 0).
  virtual absl::StatusOr<int> Contact(const std::string& geom, const std::string& other) = 0;
  // Place of a touch or force sensor's reading: the length of its vector.
  virtual absl::StatusOr<int> Force(const std::string& sensor) = 0;
};

struct Expression {
  std::vector<std::string> components;  // One text for each.
  std::vector<int> places;              // Places that they read, ascending.
};

// INVALID_ARGUMENT: "column 7: ...".
absl::StatusOr<Expression> Compile(std::string_view text, Scope& scope);

}  // namespace mentor::envs::mjcf
