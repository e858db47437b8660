// What a process did at its borders, for tests/fault/history_check.py, which merges the histories
// of a whole cluster and proves that nothing was used twice, lost or taken from a dead assignment.
// Nothing is written unless the environment asks for it; an event costs a relaxed load then.
//
//   MENTOR_HISTORY=FOLDER: each process appends to FOLDER/PROGRAM-INCARNATION.jsonl, a file of its
//   own, so that a line that a kill has torn is the last one. One write(2) a line, no buffer.
//
//   MENTOR_HISTORY("assigned", {{"unit", name}, {"attempt", attempt}});
//
// Each line has "t" (nanoseconds of the monotonic clock, common to one machine), "n" (counts the
// lines of the file), "process", "incarnation" and "event". Write an event that others build on
// before they can see it (before a message is sent, before a lock is released), and one that builds
// on others after it. Thread-safe.
#pragma once

#include <atomic>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>

#include "common/log.h"

#define MENTOR_HISTORY(event, ...)                                             \
  do {                                                                         \
    if (::mentor::history::On()) ::mentor::history::Write(event, __VA_ARGS__); \
  } while (false)

namespace mentor::history {

namespace internal {
extern std::atomic<bool> on;
}  // namespace internal

// For what is computed for events alone.
inline bool On() {
  return internal::on.load(std::memory_order_relaxed);
}
// How events name a unit of work: SHARD/ITERATION/AGENT/PART.
std::string UnitName(uint64_t shard, uint32_t iteration, uint32_t agent, uint32_t part);
// How events name a lifetime with its chances and the numbers of its task:
// NUMBER:VARIANT:NOISE_NUMBER:TASK.
std::string LifetimeName(uint32_t number, uint32_t variant, uint32_t noise_number,
                         std::span<const double> task);
// The beginning of a hash or of other bytes, as events have it.
std::string Digest(std::string_view bytes);
// A history with holes proves nothing: a line that cannot be written ends the process with 3.
void Write(std::string_view event, std::initializer_list<log::Field> fields);

}  // namespace mentor::history
