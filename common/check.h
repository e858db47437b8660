// MENTOR_CHECK: an invariant of this program, always checked; a broken invariant aborts the
// process. Never for data from outside. Also the two usual macros for absl::Status.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <utility>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#define MENTOR_CHECK(condition)                                                              \
  do {                                                                                       \
    if (!(condition)) [[unlikely]] {                                                         \
      std::fprintf(stderr, "%s:%d: broken invariant: %s\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                                          \
    }                                                                                        \
  } while (false)

#define MENTOR_RETURN_IF_ERROR(expression)                                                    \
  do {                                                                                        \
    if (absl::Status mentor_status = (expression); !mentor_status.ok()) return mentor_status; \
  } while (false)

#define MENTOR_CONCAT_INNER(a, b) a##b
#define MENTOR_CONCAT(a, b) MENTOR_CONCAT_INNER(a, b)
#define MENTOR_ASSIGN_OR_RETURN(target, expression) \
  MENTOR_ASSIGN_OR_RETURN_IMPL(MENTOR_CONCAT(mentor_or_, __LINE__), target, expression)
#define MENTOR_ASSIGN_OR_RETURN_IMPL(temporary, target, expression) \
  auto temporary = (expression);                                    \
  if (!temporary.ok()) return std::move(temporary).status();        \
  target = std::move(temporary).value()
