// What the cell of a recurrent policy held at the ends of earlier episodes, found again by their
// contexts (docs/algorithms/recurrent_policy.md#episodic-memory). Actors that act and learners that
// live the recorded steps again look things up here, so that both find the same entry: the nearest
// by squared distance in double, the newest of equals. Owned by one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>
#include <vector>

namespace mentor {

// Bound of what the memory of one lifetime may take.
inline constexpr uint64_t kCellMemoryBytesMax = uint64_t{256} << 20;
// Whether `entries` of these sizes keep within it.
inline bool CellMemoryFits(uint64_t entries, uint64_t context_size, uint64_t cell_size) {
  constexpr uint64_t kEntryBytes = 128;  // Beside its numbers.
  return entries <=
         kCellMemoryBytesMax / (sizeof(float) * (context_size + cell_size) + kEntryBytes);
}

template <typename T>
class CellMemory {
 public:
  // radius: the squared distance beyond which nothing is found. capacity: entries, of which the
  // oldest gives way.
  CellMemory(double radius, size_t capacity) : radius_(radius), capacity_(capacity) {}

  // The cell of the nearest context; empty when there is none within the radius.
  std::span<const T> Find(std::span<const float> context) const {
    std::span<const T> found;
    double least = radius_;
    for (const Entry& entry : entries_) {  // The newest last.
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

  // All contexts have one size, and all cells.
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
