#include "cli/report/verdict.h"

namespace mentor::report {

Verdict VerdictOf(const Interval& difference) {
  return difference.low > 0    ? Verdict::kBetter
         : difference.high < 0 ? Verdict::kWorse
                               : Verdict::kAlike;
}

std::string WordOf(Verdict verdict) {
  return verdict == Verdict::kBetter  ? "better"
         : verdict == Verdict::kWorse ? "worse"
                                      : "cannot be told apart";
}

std::string WordsOf(Verdict verdict, const std::string& other) {
  return WordOf(verdict) + (verdict == Verdict::kAlike ? " from " : " than ") + other;
}

Movement MovementOf(const Interval& change, double least) {
  return change.low > 0 && change.low >= least      ? Movement::kRises
         : change.high < 0 && change.high <= -least ? Movement::kFalls
                                                    : Movement::kStays;
}

std::string WordOf(Movement movement) {
  return movement == Movement::kRises   ? "rises"
         : movement == Movement::kFalls ? "falls"
                                        : "does not move";
}

}  // namespace mentor::report
