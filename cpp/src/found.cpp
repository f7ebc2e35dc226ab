#include "found.hpp"

#include <algorithm>
#include <atomic>
#include <limits>
#include <stdexcept>
#include <string>

#include "candidates.hpp"
#include "parallel_for.hpp"
#include "text.hpp"

namespace miniffx {
namespace {

constexpr std::int32_t kGroupAtoms = 64;

std::vector<Found::Group> divide(const CellList& cells) {
    std::vector<Found::Group> groups;
    groups.reserve(cells.key.size() + static_cast<std::size_t>(cells.n_atoms / kGroupAtoms));
    for (std::size_t bin = 0; bin < cells.key.size(); ++bin) {
        for (std::int32_t p = cells.begin[bin]; p < cells.begin[bin + 1]; p += kGroupAtoms) {
            const std::int32_t end = std::min(p + kGroupAtoms, cells.begin[bin + 1]);
            groups.push_back({static_cast<std::int32_t>(bin), p, end, 0, nullptr});
        }
    }
    return groups;
}

// One thread's means of searching.
class alignas(128) Searcher {
  public:
    Searcher(Found& found, Log& log, std::atomic<std::int64_t>& n_found, double bytes_per_pair)
        : found_(found),
          log_(log),
          n_found_(n_found),
          bytes_per_pair_(bytes_per_pair),
          square_(found.cutoff * found.cutoff),
          candidates_(found.cells, within()),
          reader_(found) {}

    void search(Found::Group& group) {
        candidates_.gather(group.bin, group.begin, group.end);
        const bool shifted = candidates_.shifted();
        if (shifted) store_shifts(group);
        std::int64_t n_found = 0;
        for (std::int32_t p = group.begin; p < group.end; ++p) {
            bool doubt = false;
            const std::int64_t n = candidates_.find(p, doubt);
            const std::int32_t* const hits = candidates_.hits();
            std::int32_t* const kept = log_.append(shifted ? 2 * n : n);
            if (shifted) {
                add_runs(hits, n, kept);
            } else {
                std::copy_n(hits, n, kept);
            }
            found_.hits[p] = kept;
            found_.counts[p] = static_cast<std::int32_t>(n);
            if (doubt) check(group, p, kept, shifted);
            n_found += found_.counts[p];
        }
        count(n_found);
    }

  private:
    // Looks whether there is memory for what all threads found, every so many pairs.
    void count(std::int64_t n_found) {
        constexpr int kReport = 18, kEvery = 24;  // 2^18 and 2^24 pairs
        mine_ += n_found;
        if (mine_ >> kReport == 0) return;
        const std::int64_t before = n_found_.fetch_add(mine_, std::memory_order_relaxed), after = before + mine_;
        mine_ = 0;
        if (before >> kEvery == after >> kEvery) return;
        require_memory(bytes_per_pair_ * static_cast<double>(after),
                       "A list of more than " + std::to_string(after) + " pairs");
    }

    void store_shifts(Found::Group& group) {
        const auto& runs = candidates_.runs();
        group.n_shifts = static_cast<std::int32_t>(runs.size() - 1);
        std::int32_t* const shifts = log_.append(3 * std::int64_t{group.n_shifts});
        for (std::int32_t r = 0; r < group.n_shifts; ++r) {
            std::copy_n(runs[static_cast<std::size_t>(r)].shift, 3, shifts + 3 * r);
        }
        group.shifts = shifts;
    }

    void add_runs(const std::int32_t* hits, std::int64_t n, std::int32_t* kept) const {
        const Candidates::Run* run = candidates_.runs().data();
        std::int32_t r = 0;
        for (std::int64_t k = 0; k < n; ++k) {
            while (hits[k] >= run[r + 1].begin) ++r;
            kept[2 * k] = candidates_.place(hits[k]);
            kept[2 * k + 1] = r;
        }
    }

    // Keeps those that are within the cutoff by the definition in pairs.hpp.
    void check(const Found::Group& group, std::int32_t p, std::int32_t* hits, bool shifted) {
        reader_.open(group);
        std::int32_t kept = 0;
        const std::int32_t width = shifted ? 2 : 1;
        reader_.each(p, [&](std::int32_t k, const CellList::Exact& to, const Image& image) {
            const Vector d = displacement(found_.cells.exact[p], to, image);
            if (!(d.x * d.x + d.y * d.y + d.z * d.z < square_)) return;
            std::copy_n(hits + width * k, width, hits + width * kept++);
        });
        found_.counts[p] = kept;
    }

    Found& found_;
    Log& log_;
    std::atomic<std::int64_t>& n_found_;
    double bytes_per_pair_;
    double square_;
    std::int64_t mine_ = 0;  // pairs found and not yet reported
    Candidates candidates_;
    FoundReader reader_;
};

}  // namespace

std::int32_t* Log::append(std::int64_t n) {
    if (chunks_.empty() || n > chunks_.back().size() - used_) {
        constexpr std::int64_t kFirst = 1 << 13, kMost = 1 << 18;
        const std::int64_t next = chunks_.empty() ? kFirst : std::min(2 * chunks_.back().size(), kMost);
        chunks_.emplace_back(std::max(n, next));
        used_ = 0;
    }
    std::int32_t* const place = chunks_.back().data() + used_;
    used_ += n;
    return place;
}

Image make_image(const Box& box, const std::int32_t* shift) {
    Image image{};
    const double s[3] = {static_cast<double>(shift[0]), static_cast<double>(shift[1]), static_cast<double>(shift[2])};
    std::copy_n(shift, 3, image.shift);
    for (int c = 0; c < 3; ++c) {
        image.vector[c] = (s[0] * box.cell[0][c] + s[1] * box.cell[1][c]) + s[2] * box.cell[2][c];
    }
    return image;
}

FoundReader::FoundReader(const Found& found) : found_(found) {}

void FoundReader::open(const Found::Group& group) {
    constexpr std::int32_t none[3] = {0, 0, 0};
    group_ = &group;
    images_.clear();
    if (group.n_shifts == 0) images_.push_back(make_image(found_.cells.box, none));
    for (std::int32_t k = 0; k < group.n_shifts; ++k) {
        images_.push_back(make_image(found_.cells.box, group.shifts + 3 * k));
    }
}

const Image* FoundReader::moved_by(std::int32_t wrap) {
    const auto& w = found_.cells.wraps[static_cast<std::size_t>(wrap)];
    moved_.resize(images_.size());
    for (std::size_t k = 0; k < images_.size(); ++k) {
        std::int32_t shift[3];
        for (std::size_t a = 0; a < 3; ++a) {
            shift[a] = static_cast<std::int32_t>(std::int64_t{images_[k].shift[a]} + w[a]);
        }
        moved_[k] = make_image(found_.cells.box, shift);
    }
    return moved_.data();
}

Image FoundReader::back_by(std::int32_t wrap, const Image& image) const {
    const auto& w = found_.cells.wraps[static_cast<std::size_t>(wrap)];
    std::int32_t shift[3];
    for (std::size_t a = 0; a < 3; ++a) shift[a] = static_cast<std::int32_t>(std::int64_t{image.shift[a]} - w[a]);
    return make_image(found_.cells.box, shift);
}

Neighbors find_neighbors(std::int64_t n_atoms, const double* positions, const double* cell, const bool* pbc,
                         double cutoff, const std::int32_t* species, int threads, double bytes_per_pair) {
    if (!(cutoff > 0 && cutoff < 1e100)) {  // its square stays finite
        throw std::invalid_argument("`cutoff` must be a positive, finite number, got " + text_of(cutoff));
    }
    if (n_atoms < 0 || n_atoms >= std::numeric_limits<std::int32_t>::max()) {
        throw std::invalid_argument("`positions` must hold fewer than 2^31 - 1 atoms, got " + std::to_string(n_atoms));
    }
    const auto result = std::make_shared<Found>();
    Found& found = *result;
    found.n_atoms = n_atoms;
    found.cutoff = cutoff;
    found.cells = build_cell_list(make_box(cell, pbc), n_atoms, positions, cutoff, species, threads);
    found.groups = divide(found.cells);
    found.counts = Buffer<std::int32_t>(found.cells.n_atoms);
    found.hits = Buffer<const std::int32_t*>(found.cells.n_atoms);
    const auto work = found.cells.n_atoms * static_cast<std::int64_t>(found.cells.stencil.size());
    threads = thread_count(threads, work, 4096);
    found.logs.resize(static_cast<std::size_t>(threads));
    std::vector<std::unique_ptr<Searcher>> searchers(found.logs.size());
    std::atomic<std::int64_t> n_found{0};
    constexpr int kGrain = 8;
    parallel_for(static_cast<std::int64_t>(found.groups.size()), threads, kGrain, [&](std::int64_t g, int thread) {
        const auto t = static_cast<std::size_t>(thread);
        // Made by the thread that uses it, in whose cache it then is.
        if (!searchers[t]) searchers[t] = std::make_unique<Searcher>(found, found.logs[t], n_found, bytes_per_pair);
        searchers[t]->search(found.groups[static_cast<std::size_t>(g)]);
    });
    return result;
}

}  // namespace miniffx
