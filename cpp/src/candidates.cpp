#include "candidates.hpp"

#include <algorithm>
#include <limits>

namespace miniffx {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// The lattice part of the convention in pairs.hpp, component c.
double lattice_part(const Box& box, const std::int32_t* shift, int c) {
    const double s[3] = {static_cast<double>(shift[0]), static_cast<double>(shift[1]), static_cast<double>(shift[2])};
    return (s[0] * box.cell[0][c] + s[1] * box.cell[1][c]) + s[2] * box.cell[2][c];
}

}  // namespace

Candidates::Candidates(const CellList& cells, const Within& within)
    : cells_(cells),
      within_(within),
      walk_(cells),
      x_(kCapacity + kLanes),
      y_(kCapacity + kLanes),
      z_(kCapacity + kLanes),
      atom_(kCapacity + kLanes),
      place_(kCapacity + kLanes),
      entry_(kCapacity + kLanes) {
    for (auto& lattice : lattice_) lattice = Buffer<double>(kCapacity + kLanes);
    if (!cells.strays.empty()) {
        for (auto& lattice : moved_lattice_) lattice = Buffer<double>(kCapacity + kLanes);
        moved_ = Buffer<Entry>(kCapacity + kLanes);
    }
    for (std::int32_t k = 0; k < kCapacity + kLanes; ++k) place_[k] = k;
    // Positions of the group, of candidates and of their images are each known up to the slack.
    const double reach = cells.cutoff * (1 + 1e-9) + 8 * cells.slack;
    reach_square_ = reach * reach;
}

void Candidates::start(std::int64_t bin, std::int32_t begin, std::int32_t end) {
    walk_.start(bin);
    pending_.begin = pending_.end = 0;
    begin_ = begin;
    end_ = end;
    has_stray_ = false;
    for (int c = 0; c < 3; ++c) {
        low_[c] = kInfinity;
        high_[c] = -kInfinity;
    }
    for (std::int32_t p = begin; p < end; ++p) {
        const double r[3] = {cells_.x[p], cells_.y[p], cells_.z[p]};
        for (int c = 0; c < 3; ++c) {
            low_[c] = std::min(low_[c], r[c]);
            high_[c] = std::max(high_[c], r[c]);
        }
        has_stray_ = has_stray_ || cells_.is_stray(p);
    }
}

// Appends atoms `begin` to `end` of the cell list, which belong to the segment.
void Candidates::append(const Segment& segment, std::int32_t begin, std::int32_t end) {
    if (begin >= end) return;
    Bounds bounds{};
    for (int c = 0; c < 3; ++c) {
        bounds.low[c] = low_[c] - segment.translation[c];
        bounds.high[c] = high_[c] - segment.translation[c];
    }
    bounds.square = reach_square_;
    const Source from{end - begin, cells_.x.data() + begin, cells_.y.data() + begin, cells_.z.data() + begin,
                      cells_.atom.data() + begin};
    size_ +=
        within_.gather(from, bounds, {x_.data() + size_, y_.data() + size_, z_.data() + size_, atom_.data() + size_});
}

bool Candidates::next() {
    size_ = 0;
    runs_.clear();
    home_begin_ = home_end_ = 0;
    hidden_ = -1;
    seen_from_stray_ = false;
    bool shifted = has_stray_;
    while (size_ < kCapacity) {
        if (pending_.begin == pending_.end && !walk_.next(pending_)) break;
        const std::int32_t begin = pending_.begin;
        const auto end = static_cast<std::int32_t>(std::min<std::int64_t>(pending_.end, begin + (kCapacity - size_)));
        pending_.begin = end;
        runs_.push_back({size_, {pending_.shift[0], pending_.shift[1], pending_.shift[2]}});
        if (pending_.home && begin < end_ && end > begin_) {
            // The group itself stays together: nothing of it is out of its own reach.
            home_begin_ = std::max(begin, begin_);
            home_end_ = std::min(end, end_);
            append(pending_, begin, home_begin_);
            home_ = size_;
            append(pending_, home_begin_, home_end_);
            append(pending_, home_end_, end);
        } else {
            append(pending_, begin, end);
        }
        shifted = shifted || !pending_.home;
    }
    if (size_ == 0 && pending_.begin == pending_.end && runs_.empty()) return false;
    runs_.push_back({size_, {0, 0, 0}});

    if (!cells_.strays.empty()) {
        std::int32_t least = 0;
        for (std::int64_t k = 0; k < size_; ++k) least = std::min(least, atom_[k]);
        shifted = shifted || least < 0;
    }
    block_ = {(size_ + kLanes - 1) / kLanes * kLanes,
              x_.data(),
              y_.data(),
              z_.data(),
              lattice_[0].data(),
              lattice_[1].data(),
              lattice_[2].data(),
              shifted ? place_.data() : atom_.data(),
              shifted};
    for (std::int64_t k = size_; k < block_.size; ++k) {
        x_[k] = kInfinity;
        y_[k] = z_[k] = 0;
    }
    if (shifted) {
        expand();
    } else {
        constexpr std::int32_t kNone[3] = {0, 0, 0};
        for (int c = 0; c < 3; ++c) lattice_[c][0] = lattice_part(cells_.box, kNone, c);  // minus zero, possibly
    }
    return true;
}

// Shifts and lattice parts for every candidate.
void Candidates::expand() {
    for (std::size_t r = 0; r + 1 < runs_.size(); ++r) {
        const Run& run = runs_[r];
        const std::int64_t end = runs_[r + 1].begin;
        Entry entry{};
        for (int a = 0; a < 3; ++a) entry.shift[a] = static_cast<std::int32_t>(run.shift[a]);
        double lattice[3];
        for (int c = 0; c < 3; ++c) lattice[c] = lattice_part(cells_.box, entry.shift, c);
        for (std::int64_t k = run.begin; k < end; ++k) {
            entry.atom = atom_[k];
            entry_[k] = entry;
            for (int c = 0; c < 3; ++c) lattice_[c][k] = lattice[c];
        }
        if (cells_.strays.empty()) continue;
        for (std::int64_t k = run.begin; k < end; ++k) {
            if (atom_[k] < 0) place_stray(k, run);
        }
    }
    for (std::int64_t k = size_; k < block_.size; ++k) {
        for (auto& lattice : lattice_) lattice[k] = 0;
    }
}

void Candidates::place_stray(std::int64_t k, const Run& run) {
    const CellList::Stray& stray = cells_.stray(atom_[k]);
    x_[k] = stray.position[0];
    y_[k] = stray.position[1];
    z_[k] = stray.position[2];
    entry_[k].atom = stray.atom;
    for (int a = 0; a < 3; ++a) entry_[k].shift[a] = static_cast<std::int32_t>(run.shift[a] - stray.wrap[a]);
    for (int c = 0; c < 3; ++c) lattice_[c][k] = lattice_part(cells_.box, entry_[k].shift, c);
}

void Candidates::look_from(const CellList::Stray& stray) {
    for (std::int64_t k = 0; k < size_; ++k) {
        moved_[k].atom = entry_[k].atom;
        for (int a = 0; a < 3; ++a) {
            moved_[k].shift[a] = static_cast<std::int32_t>(std::int64_t{entry_[k].shift[a]} + stray.wrap[a]);
        }
        for (int c = 0; c < 3; ++c) moved_lattice_[c][k] = lattice_part(cells_.box, moved_[k].shift, c);
    }
    for (std::int64_t k = size_; k < block_.size; ++k) {
        for (auto& lattice : moved_lattice_) lattice[k] = 0;
    }
}

const Block& Candidates::around(std::int32_t p) {
    if (hidden_ >= 0) x_[hidden_] = hidden_x_;
    hidden_ = -1;
    if (home_begin_ <= p && p < home_end_) {
        hidden_ = p - home_begin_ + home_;
        hidden_x_ = x_[hidden_];
        x_[hidden_] = kInfinity;
    }
    center_[0] = cells_.x[p];
    center_[1] = cells_.y[p];
    center_[2] = cells_.z[p];
    const bool stray = cells_.is_stray(p);
    if (stray) {
        const CellList::Stray& exact = cells_.stray(cells_.atom[p]);
        std::copy_n(exact.position, 3, center_);
        look_from(exact);
    }
    if (stray != seen_from_stray_) {
        const Buffer<double>* lattice = stray ? moved_lattice_ : lattice_;
        block_.sx = lattice[0].data();
        block_.sy = lattice[1].data();
        block_.sz = lattice[2].data();
        seen_from_stray_ = stray;
    }
    return block_;
}

}  // namespace miniffx
