// The episodic memory of a recurrent policy: cell states at the ends of earlier episodes, retrieved
// by context. See methods/rl2/README.md#episodic-memory for the method. Actors that act and
// learners that replay recorded steps both use this code, so that both find the same entry. That
// entry is the nearest by squared distance in double; the newest wins ties. Owned by one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>
#include <vector>

namespace mentor {

// Limit for the memory of one lifetime.
inline constexpr uint64_t kCellMemoryBytesMax = uint64_t{256} << 20;
// True if `entries` entries of these sizes stay within the limit.
inline bool CellMemoryFits(uint64_t entries, uint64_t context_size, uint64_t cell_size) {
  constexpr uint64_t kEntryBytes = 128;  // Overhead of an entry besides its numbers.
  return entries <=
         kCellMemoryBytesMax / (sizeof(float) * (context_size + cell_size) + kEntryBytes);
}

template <typename T>
class CellMemory {
 public:
  // radius: maximum squared distance for a match. capacity: maximum number of entries; the oldest
  // is replaced.
  CellMemory(double radius, size_t capacity) : radius_(radius), capacity_(capacity) {}

  // Returns the cell of the nearest context; empty if none is within the radius.
  std::span<const T> Find(std::span<const float> context) const {
    std::span<const T> found;
    double least = radius_;
    for (const Entry& entry : entries_) {  // The newest is last.
      double distance = 0;
      for (size_t i = 0; i < context.size(); ++i) {
        const double difference = static_cast<double>(context[i]) - entry.context[i];
        distance += difference * difference;
      }
      if (!(distance <= least)) continue;
      least = distance;
      found = entry.cell;
    }
    return found;
  }

  // All contexts must have one size, and all cells too.
  void Add(std::span<const float> context, std::span<const T> cell) {
    if (entries_.size() == capacity_) entries_.pop_front();
    entries_.push_back({{context.begin(), context.end()}, {cell.begin(), cell.end()}});
  }

  size_t size() const { return entries_.size(); }

 private:
  struct Entry {
    std::vector<float> context;
    std::vector<T> cell;
  };

  const double radius_;
  const size_t capacity_;
  std::deque<Entry> entries_;
};

}  // namespace mentor
