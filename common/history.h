// Records a process's external events for tests/fault/history_check.py. That script merges the
// histories of a whole cluster and proves that nothing was used twice, lost, or taken from a dead
// assignment. Nothing is written unless the environment asks for it; an event then costs a relaxed
// load.
//
//   MENTOR_HISTORY=FOLDER: each process appends to its own FOLDER/PROGRAM-INCARNATION.jsonl, so
//   that a line torn by a kill is the last one. One write(2) per line, without a buffer.
//
//   MENTOR_HISTORY("assigned", {{"unit", name}, {"attempt", attempt}});
//
// Each line has "t" (nanoseconds of the monotonic clock, common to one machine), "n" (counts the
// lines of the file), "process", "incarnation" and "event". Write an event before others can see
// its effect: before a message is sent, before a lock is released. Write an event after those that
// it depends on. Thread-safe.
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

// True if events are written; guards work that only events need.
inline bool On() {
  return internal::on.load(std::memory_order_relaxed);
}
// Name of a unit of work in events: SHARD/ITERATION/AGENT/PART.
std::string UnitName(uint64_t shard, uint32_t iteration, uint32_t agent, uint32_t part);
// Name of a lifetime in events, with its random key and a hash of its task:
// NUMBER:VARIANT:NOISE_NUMBER:TASK.
std::string LifetimeName(uint32_t number, uint32_t variant, uint32_t noise_number,
                         std::span<const double> task);
// Shortens a hash or other bytes to their beginning, for events.
std::string Digest(std::string_view bytes);
// A history with gaps proves nothing, so a failed write ends the process with exit code 3.
void Write(std::string_view event, std::initializer_list<log::Field> fields);

}  // namespace mentor::history
