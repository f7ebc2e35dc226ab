#include "candidates.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <stdexcept>

namespace miniffx {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr double kSingle = std::numeric_limits<float>::epsilon() / 2;

}  // namespace

Candidates::Candidates(const CellList& cells, const Within& within)
    : cells_(cells),
      within_(within),
      walk_(cells),
      // Positions of the group, of candidates and of their images are each known up to the slack.
      reach_(cells.cutoff * (1 + 1e-9) + 8 * cells.slack) {
    reserve(512);
}

void Candidates::reserve(std::size_t size) {
    size += 2 * kLanes;
    if (size <= place_.size()) return;
    size = std::max(size, place_.size() + place_.size() / 2);
    if (size > static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max())) {
        throw std::invalid_argument("`cutoff` must leave fewer than 2^31 neighbours per atom");
    }
    for (auto* numbers : {&x_, &y_, &z_}) numbers->resize(size);
    for (auto* numbers : {&place_, &number_, &hits_}) numbers->resize(size);
    std::iota(number_.begin(), number_.end(), 0);
    block_ = {block_.size, x_.data(), y_.data(), z_.data(), place_.data()};
}

void Candidates::append(const Segment& segment) {
    const auto begin = static_cast<std::size_t>(segment.begin);
    const std::int64_t size = segment.end - segment.begin;
    reserve(static_cast<std::size_t>(block_.size + size));
    Source source{size,  cells_.x.data() + begin, cells_.y.data() + begin, cells_.z.data() + begin, segment.begin, {},
                  scale_};
    for (int c = 0; c < 3; ++c) source.origin[c] = origin_[c] - segment.translation[c];
    within_.gather(source, bounds_, block_);
}

void Candidates::gather(std::int64_t bin, std::int32_t begin, std::int32_t end) {
    begin_ = begin;
    const double* const r[3] = {cells_.x.data(), cells_.y.data(), cells_.z.data()};
    double half[3], largest = 0;
    for (int c = 0; c < 3; ++c) {
        const auto [low, high] = std::minmax_element(r[c] + begin, r[c] + end);
        origin_[c] = *low + (*high - *low) / 2;
        half[c] = std::max(*high - origin_[c], origin_[c] - *low);
        largest = std::max(largest, half[c]);
    }
    // Coordinates up to 1 in the frame are rounded by kSingle; two of them make a difference up to 2.
    scale_ = std::ldexp(1.0, std::min(-std::ilogb(largest + reach_) - 1, 1000));
    const double cutoff = cells_.cutoff * scale_, reach = reach_ * scale_;
    const double error = 4 * kSingle + 8 * cells_.slack * scale_;
    const double tolerance =
        1.5 * (2 * std::sqrt(3.0) * cutoff * error + 3 * error * error) + 16 * kSingle * cutoff * cutoff;
    range_ = {static_cast<float>(cutoff * cutoff - tolerance), static_cast<float>(cutoff * cutoff + tolerance)};
    for (int c = 0; c < 3; ++c) bounds_.half[c] = static_cast<float>(half[c] * scale_ + error);
    bounds_.square = static_cast<float>((reach + error) * (reach + error) * (1 + 16 * kSingle));

    runs_.clear();
    block_.size = 0;
    block_.label = place_.data();
    shifted_ = false;
    walk_.start(bin);
    Segment segment{};
    while (walk_.next(segment)) {
        const std::int64_t before = block_.size;
        if (segment.home && segment.begin <= begin && begin < segment.end) {
            // The group stays together: nothing of it is out of its own reach.
            const std::int32_t last = segment.end;
            segment.end = begin;
            append(segment);
            home_ = block_.size;
            segment.begin = begin;
            segment.end = last;
        }
        append(segment);
        if (block_.size == before) continue;
        shifted_ = shifted_ || !segment.home;
        Run run{static_cast<std::int32_t>(before), {}};
        for (int a = 0; a < 3; ++a) run.shift[a] = static_cast<std::int32_t>(segment.shift[a]);
        if (runs_.empty() || !std::equal(run.shift, run.shift + 3, runs_.back().shift)) runs_.push_back(run);
    }
    runs_.push_back({static_cast<std::int32_t>(block_.size), {}});
    for (std::int64_t k = block_.size; k < block_.size + kLanes; ++k) x_[static_cast<std::size_t>(k)] = kNan;
    block_.label = shifted_ ? number_.data() : place_.data();
}

std::int64_t Candidates::find(std::int32_t p, bool& doubt) {
    const auto self = static_cast<std::size_t>(home_ + p - begin_);
    const float center[3] = {x_[self], y_[self], z_[self]};
    x_[self] = kNan;
    const std::int64_t found = within_.find(block_, center, range_, hits_.data(), doubt);
    x_[self] = center[0];
    return found;
}

}  // namespace miniffx
