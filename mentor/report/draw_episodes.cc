#include "mentor/report/draw_episodes.h"

#include <algorithm>
#include <iterator>
#include <set>
#include <utility>

#include <absl/strings/match.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>

#include "common/evaluation_method.h"
#include "mentor/report/words.h"

namespace mentor::report {
namespace {

using Kind = Table::Cell::Kind;

constexpr int kHollowCircle = 6;
constexpr int kSolid = 1, kDashed = 2;

// Numbers of episodes in a lifetime and of deterministic episodes after it: the greatest of all
// curves.
struct EpisodeCounts {
  int alive = 0;
  int det = 0;
};
EpisodeCounts CountsOf(const std::vector<EpisodeCurve>& curves) {
  EpisodeCounts counts;
  for (const EpisodeCurve& curve : curves) {
    counts.alive = std::max(counts.alive, curve.lifetime_episodes);
    counts.det =
        std::max(counts.det, static_cast<int>(curve.episodes.size()) - curve.lifetime_episodes);
  }
  return counts;
}

// The episodes of one inner iteration, first to last, from 1.
struct EpisodeRange {
  int first = 0, last = 0;
};
EpisodeRange RangeOf(const EpisodeCurves& own, size_t segment) {
  const int alive = CountsOf(own.curves).alive, segments = static_cast<int>(own.segments);
  const int place = static_cast<int>(segment);
  return {place * alive / segments + 1, (place + 1) * alive / segments};
}

std::vector<const PublishedCurve*> PublishedOf(const EpisodeCurves& own,
                                               const Published& published) {
  std::vector<const PublishedCurve*> curves;
  if (own.curves.empty() || own.quantity != Quantity::kSuccess) return curves;
  for (const PublishedCurve& curve : published.curves) {
    if (curve.split == own.split) curves.push_back(&curve);
  }
  return curves;
}

// Returns the curves of this report's methods that the published curve also shows.
std::vector<const EpisodeCurve*> SameMethod(const EpisodeCurves& own,
                                            const PublishedCurve& published) {
  std::vector<const EpisodeCurve*> same;
  for (const EpisodeCurve& curve : own.curves) {
    std::vector<std::string> names = curve.aliases;
    names.push_back(curve.name);
    if (std::any_of(names.begin(), names.end(), [&](const std::string& name) {
          return absl::EqualsIgnoreCase(name, published.method);
        }))
      same.push_back(&curve);
  }
  return same;
}

// Returns the colour of each published curve: that of its method if exactly one matches, else an
// unused colour.
std::vector<std::string> ColoursOf(const EpisodeCurves& own,
                                   const std::vector<const PublishedCurve*>& published) {
  std::set<std::string> taken;
  for (const EpisodeCurve& curve : own.curves) taken.insert(curve.style.colour);
  std::vector<std::string> colours;
  for (const PublishedCurve* curve : published) {
    const std::vector<const EpisodeCurve*> same = SameMethod(own, *curve);
    if (same.size() == 1) {
      colours.push_back(same[0]->style.colour);
      continue;
    }
    const char* others[] = {"orange", "olive",      "brown", "sky", "purple",
                            "green",  "vermillion", "grey",  "ink", "blue"};
    const auto* free = std::find_if(std::begin(others), std::end(others),
                                    [&](const char* colour) { return !taken.contains(colour); });
    colours.push_back(free == std::end(others) ? others[colours.size() % std::size(others)]
                                               : *free);
    taken.insert(colours.back());
  }
  return colours;
}

std::string PublishedName(const PublishedCurve& curve, const Published& published) {
  return absl::StrFormat("%s, %s", curve.method, published.name);
}

// Adds the episodes to the series. The line breaks before the deterministic episodes; a method with
// a shorter lifetime gets a gap there.
void AddPlaces(const std::vector<Interval>& episodes, int lifetime_episodes, int alive,
               Series* series) {
  for (int e = 0; e < static_cast<int>(episodes.size()); ++e) {
    if (e == lifetime_episodes)
      series->places.push_back(PlaceAt(static_cast<double>(alive) + 0.5, kNone));
    const int place = e < lifetime_episodes ? e : alive + (e - lifetime_episodes);
    series->places.push_back({static_cast<double>(place + 1), episodes[e]});
  }
}

// Returns the published episodes at the places of `counts`, so that all curves share the rows of a
// table.
std::vector<Interval> EpisodesOf(const PublishedCurve& curve, const EpisodeCounts& counts) {
  std::vector<Interval> episodes(static_cast<size_t>(counts.alive + counts.det),
                                 {kNone, kNone, kNone});
  for (const auto& [episode, rate] : curve.episodes) episodes[episode - 1] = {rate, rate, rate};
  if (const auto& rate = curve.deterministic) episodes[counts.alive] = {*rate, *rate, *rate};
  return episodes;
}

}  // namespace

std::vector<std::string> NamesOfLearned(const ReportData& run) {
  std::vector<std::string> names = {NameOf(v1::EVALUATION_METHOD_LEARNED), run.identity.rule};
  if (!run.signal_role.empty()) names.push_back("learned " + run.signal_role);
  return names;
}

void DrawEpisodes(const EpisodeCurves& own, const Published& published, Drawing* drawing) {
  if (own.curves.empty()) return;
  const std::vector<const PublishedCurve*> others = PublishedOf(own, published);
  EpisodeCounts counts = CountsOf(own.curves);
  for (const PublishedCurve* curve : others) {
    if (!curve->episodes.empty())
      counts.alive = std::max(counts.alive, curve->episodes.rbegin()->first);
    if (curve->deterministic) counts.det = std::max(counts.det, 1);
  }
  Panel panel;
  panel.x = {.label = "episode of the lifetime",
             .low = 0.5,
             .high = static_cast<double>(counts.alive + counts.det) + 0.5,
             .whole = true};
  panel.y.label = QuantityWords(own.quantity);
  for (size_t s = 1; s < own.segments; ++s) {
    panel.marks.push_back({static_cast<double>(RangeOf(own, s).first) - 0.5,
                           own.segments <= 6 ? absl::StrFormat("update %d", s) : std::string()});
  }
  if (counts.det > 0)
    panel.marks.push_back({static_cast<double>(counts.alive) + 0.5, kWithoutNoise});

  bool has_singles = false;
  for (const EpisodeCurve& curve : own.curves) {
    Series series{.name = curve.name,
                  .style = curve.style,
                  .kind = Series::Kind::kLineAndPoints,
                  .intervals = true};
    // Solid lines for this report's curves; dashes mark published ones.
    if (!others.empty()) series.style.dash = kSolid;
    AddPlaces(curve.episodes, curve.lifetime_episodes, counts.alive, &series);
    panel.series.push_back(std::move(series));
    for (const EpisodeCurve::Single& single : curve.singles) {
      Series line{.name = curve.name, .style = {curve.style.colour}, .single = single.name};
      AddPlaces(single.episodes, curve.lifetime_episodes, counts.alive, &line);
      panel.series.push_back(std::move(line));
      has_singles = true;
    }
  }
  const std::vector<std::string> colours = ColoursOf(own, others);
  for (size_t i = 0; i < others.size(); ++i) {
    Series series{.name = PublishedName(*others[i], published),
                  .style = {colours[i], kHollowCircle, kDashed},
                  .kind = Series::Kind::kLineAndPoints};
    AddPlaces(EpisodesOf(*others[i], counts), counts.alive, counts.alive, &series);
    panel.series.push_back(std::move(series));
  }
  if (own.quantity == Quantity::kSuccess) FitRates(&panel);

  std::string caption = "Bands are 95 % intervals over goals and lifetimes.";
  if (has_singles)
    caption = "Thin lines are single meta-seeds, thick ones their mean with its 95 % interval.";
  if (own.segments > 1)
    caption += " Vertical lines are the agent's updates, the only places where it learns.";
  if (counts.det > 0) caption += " In the last ones agents act without noise.";
  if (!others.empty()) {
    absl::StrAppendFormat(&caption, " Dashed lines with hollow points are not from these runs: %s.",
                          published.name);
  }
  AddFigure({.name = "episodes_" + FileName(own.split),
             .section = own.section,
             .title = Capitalised(QuantityWords(own.quantity)) + " by episode of the lifetime, " +
                      GoalsOf(own.split, own.has_goals),
             .caption = std::move(caption),
             .panels = {std::move(panel)}},
            drawing);
}

namespace {

Table PublishedTable(const EpisodeCurves& own, const Published& published) {
  Table table("published_" + FileName(own.split),
              absl::StrFormat("Beside what is published (%s), %s", published.name,
                              GoalsOf(own.split, own.has_goals)),
              {{"published method"},
               {"part of the lifetime"},
               {"episodes"},
               {"published", Kind::kNumber},
               {"ours"},
               {"success rate", Kind::kInterval},
               {"difference", Kind::kNumber}});
  const auto add = [&](const PublishedCurve& curve, const std::string& part,
                       const std::string& episodes, double value, const EpisodeCurve* ours,
                       const std::optional<Interval>& rate) {
    table.Add({Table::Text(curve.method), Table::Text(part), Table::Text(episodes),
               Table::Number(value, absl::StrFormat("%.2f", value)),
               ours == nullptr ? Table::None() : Table::Text(ours->name),
               rate ? Table::Value(*rate) : Table::None(),
               rate
                   ? Table::Number(rate->mean - value, absl::StrFormat("%+.2f", rate->mean - value))
                   : Table::None()});
  };
  for (const PublishedCurve* curve : PublishedOf(own, published)) {
    std::vector<const EpisodeCurve*> ours = SameMethod(own, *curve);
    if (ours.empty()) ours.push_back(nullptr);
    for (const EpisodeCurve* same : ours) {
      for (size_t s = 0; s < own.segments; ++s) {
        const EpisodeRange part = RangeOf(own, s);
        double sum = 0;
        int count = 0;
        for (const auto& [episode, rate] : curve->episodes) {
          if (episode < part.first || episode > part.last) continue;
          sum += rate;
          ++count;
        }
        const int whole = part.last - part.first + 1;
        add(*curve, PartName(static_cast<int>(s), own.segments),
            absl::StrFormat(
                "%d to %d%s", part.first, part.last,
                count == whole ? std::string() : absl::StrFormat(", of which %d published", count)),
            count == 0 ? kNone : sum / count, same,
            same != nullptr && s < same->segments.size() ? std::optional(same->segments[s])
                                                         : std::nullopt);
      }
      if (curve->deterministic) {
        add(*curve, kWithoutNoise, "after the lifetime", *curve->deterministic, same,
            same == nullptr ? std::nullopt : same->det);
      }
    }
  }
  return table;
}

}  // namespace

std::vector<Table> PublishedTables(const std::vector<EpisodeCurves>& all,
                                   const Published& published) {
  std::vector<Table> tables;
  for (const EpisodeCurves& own : all) {
    Table table = PublishedTable(own, published);
    if (!table.empty()) tables.push_back(std::move(table));
  }
  return tables;
}

std::string NotShown(const std::vector<EpisodeCurves>& all, const Published& published) {
  std::set<std::string> missing;
  for (const PublishedCurve& curve : published.curves) {
    if (std::none_of(all.begin(), all.end(), [&](const EpisodeCurves& own) {
          return own.split == curve.split && !PublishedOf(own, published).empty();
        }))
      missing.insert(curve.split);
  }
  if (missing.empty()) return "";
  std::set<std::string> known;
  std::vector<std::string> reasons;
  for (const EpisodeCurves& own : all) {
    known.insert(own.split);
    if (!missing.contains(own.split)) continue;
    reasons.push_back(own.curves.empty()
                          ? own.split + " has lifetimes with other numbers of episodes"
                          : "no episode of " + own.split + " succeeded");
  }
  if (known.empty()) {
    reasons.push_back("there is no evaluation");
  } else if (!std::includes(known.begin(), known.end(), missing.begin(), missing.end())) {
    reasons.push_back("the evaluation has goals of split " + absl::StrJoin(known, ", ") +
                      " alone; give the rows one of these names in column split, or leave them "
                      "out with --published_rows");
  }
  return absl::StrFormat("published curves of split %s are not shown: %s",
                         absl::StrJoin(missing, ", "), absl::StrJoin(reasons, "; "));
}

}  // namespace mentor::report
