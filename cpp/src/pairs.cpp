#include "miniffx/pairs.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "miniffx/box.hpp"
#include "miniffx/cell_list.hpp"
#include "parallel_for.hpp"

namespace miniffx {
namespace {

// A few atoms of one bin: what a thread takes at a time.
struct Task {
    std::int32_t bin, begin, end;
};

constexpr std::int32_t kTaskAtoms = 64;
constexpr std::int64_t kSegments = 256;  // looked up at a time, for all atoms of a task

std::vector<Task> divide(const CellList& cells) {
    std::vector<Task> tasks;
    tasks.reserve(cells.key.size() + static_cast<std::size_t>(cells.n_atoms / kTaskAtoms));
    for (std::size_t bin = 0; bin < cells.key.size(); ++bin) {
        for (std::int32_t p = cells.begin[bin]; p < cells.begin[bin + 1]; p += kTaskAtoms) {
            tasks.push_back({static_cast<std::int32_t>(bin), p, std::min(p + kTaskAtoms, cells.begin[bin + 1])});
        }
    }
    return tasks;
}

// Wrapped coordinates decide whatever is not within round-off of the cutoff; D itself decides the rest.
class Search {
  public:
    explicit Search(const CellList& cells) : cells_(cells), square_(cells.cutoff * cells.cutoff) {
        const double band =
            4 * (cells.cutoff + cells.slack) * cells.slack + 64 * std::numeric_limits<double>::epsilon() * square_;
        surely_inside_ = square_ - band;
        maybe_inside_ = square_ + band;
    }

    std::int64_t count(std::int32_t p, const Segment* segments, std::int64_t n_segments) const {
        std::int64_t total = 0;
        for (std::int64_t s = 0; s < n_segments; ++s) {
            const Segment& segment = segments[s];
            const Near near(cells_, p, segment);
            std::int64_t inside = 0, maybe = 0;
            for (std::int32_t q = segment.begin; q < segment.end; ++q) {
                const double square = near.square(q);
                inside += square < surely_inside_ ? 1 : 0;
                maybe += square < maybe_inside_ ? 1 : 0;
            }
            if (inside == maybe) {
                total += inside - (holds_self(segment, p) ? 1 : 0);
            } else {
                each_pair(p, segment, [&](std::int32_t, const std::int32_t*, const double*) { ++total; });
            }
        }
        return total;
    }

    // visit(j's place in the cell list, shift, D) for every pair of atom p in the segment, in order.
    template <class Visit>
    void each_pair(std::int32_t p, const Segment& segment, const Visit& visit) const {
        constexpr std::int32_t kBlock = 256;
        std::int32_t candidates[kBlock];
        const Near near(cells_, p, segment);
        for (std::int32_t begin = segment.begin; begin < segment.end; begin += kBlock) {
            const std::int32_t end = segment.end - begin < kBlock ? segment.end : begin + kBlock;
            int n = 0;
            for (std::int32_t q = begin; q < end; ++q) {
                candidates[n] = q;
                n += near.square(q) < maybe_inside_ ? 1 : 0;
            }
            for (int k = 0; k < n; ++k) {
                const std::int32_t q = candidates[k];
                if (q == p && segment.home) continue;
                std::int32_t shift[3];
                double d[3];
                displacement(p, q, segment, shift, d);
                if (d[0] * d[0] + d[1] * d[1] + d[2] * d[2] < square_) visit(q, shift, d);
            }
        }
    }

  private:
    // Distances from atom p in wrapped coordinates.
    struct Near {
        Near(const CellList& cells, std::int32_t p, const Segment& segment)
            : x(cells.x.data()),
              y(cells.y.data()),
              z(cells.z.data()),
              x0(x[p] - segment.translation[0]),
              y0(y[p] - segment.translation[1]),
              z0(z[p] - segment.translation[2]) {}

        double square(std::int32_t q) const {
            const double dx = x[q] - x0, dy = y[q] - y0, dz = z[q] - z0;
            return dx * dx + dy * dy + dz * dz;
        }

        const double *x, *y, *z;
        double x0, y0, z0;
    };

    static bool holds_self(const Segment& segment, std::int32_t p) {
        return segment.home && segment.begin <= p && p < segment.end;
    }

    void displacement(std::int32_t p, std::int32_t q, const Segment& segment, std::int32_t* shift, double* d) const {
        const std::int32_t* wrap_p = cells_.wrap.data() + 3 * std::int64_t{p};
        const std::int32_t* wrap_q = cells_.wrap.data() + 3 * std::int64_t{q};
        const double* r_p = cells_.position.data() + 3 * std::int64_t{p};
        const double* r_q = cells_.position.data() + 3 * std::int64_t{q};
        const auto& cell = cells_.box.cell;
        double s[3];
        for (int a = 0; a < 3; ++a) {
            shift[a] = static_cast<std::int32_t>(segment.shift[a] + wrap_p[a] - wrap_q[a]);
            s[a] = shift[a];
        }
        for (int c = 0; c < 3; ++c) {
            d[c] = (r_q[c] - r_p[c]) + ((s[0] * cell[0][c] + s[1] * cell[1][c]) + s[2] * cell[2][c]);
        }
    }

    const CellList& cells_;
    double square_, surely_inside_, maybe_inside_;
};

}  // namespace

Pairs find_pairs(std::int64_t n_atoms, const double* positions, const double* cell, const bool* pbc, double cutoff,
                 const std::int32_t* species, int threads) {
    if (!(cutoff > 0 && cutoff < 1e100)) {  // its square stays finite
        std::ostringstream message;
        message << "`cutoff` must be a positive, finite number, got " << cutoff;
        throw std::invalid_argument(message.str());
    }
    if (n_atoms < 0 || n_atoms >= std::numeric_limits<std::int32_t>::max()) {
        throw std::invalid_argument("`positions` must hold fewer than 2^31 - 1 atoms, got " + std::to_string(n_atoms));
    }

    const CellList cells = build_cell_list(make_box(cell, pbc), n_atoms, positions, cutoff, species, threads);
    const std::vector<Task> tasks = divide(cells);
    const Search search(cells);
    threads = thread_count(threads, cells.n_atoms * static_cast<std::int64_t>(cells.stencil.size()), 4096);
    constexpr int kGrain = 4;

    Pairs pairs;
    pairs.n_atoms = n_atoms;
    pairs.cutoff = cutoff;
    pairs.offsets = Buffer<std::int64_t>(n_atoms + 1);
    std::fill_n(pairs.offsets.data(), n_atoms + 1, std::int64_t{0});
    parallel_for(static_cast<std::int64_t>(tasks.size()), threads, kGrain, [&](std::int64_t t, int) {
        const Task& task = tasks[static_cast<std::size_t>(t)];
        Segment segments[kSegments];
        SegmentCursor cursor;
        while (const std::int64_t n = next_segments(cells, task.bin, cursor, segments, kSegments)) {
            for (std::int32_t p = task.begin; p < task.end; ++p) {
                pairs.offsets[cells.atom[p] + 1] += search.count(p, segments, n);
            }
        }
    });
    for (std::int64_t i = 0; i < n_atoms; ++i) pairs.offsets[i + 1] += pairs.offsets[i];

    const std::int64_t n_pairs = pairs.offsets[n_atoms];
    require_memory(44.0 * static_cast<double>(n_pairs), "A list of " + std::to_string(n_pairs) + " pairs");
    pairs.i = Buffer<std::int32_t>(n_pairs);
    pairs.j = Buffer<std::int32_t>(n_pairs);
    pairs.shift = Buffer<std::int32_t>(3 * n_pairs);
    pairs.vector = Buffer<double>(3 * n_pairs);
    parallel_for(static_cast<std::int64_t>(tasks.size()), threads, kGrain, [&](std::int64_t t, int) {
        const Task& task = tasks[static_cast<std::size_t>(t)];
        std::int64_t next[kTaskAtoms];
        for (std::int32_t p = task.begin; p < task.end; ++p) next[p - task.begin] = pairs.offsets[cells.atom[p]];
        Segment segments[kSegments];
        SegmentCursor cursor;
        while (const std::int64_t n = next_segments(cells, task.bin, cursor, segments, kSegments)) {
            for (std::int32_t p = task.begin; p < task.end; ++p) {
                const std::int32_t i = cells.atom[p];
                const std::int64_t end = pairs.offsets[i + 1];
                std::int64_t at = next[p - task.begin];
                const auto write = [&](std::int32_t q, const std::int32_t* shift, const double* d) {
                    if (at < end) {
                        pairs.i[at] = i;
                        pairs.j[at] = cells.atom[q];
                        std::copy(shift, shift + 3, pairs.shift.data() + 3 * at);
                        std::copy(d, d + 3, pairs.vector.data() + 3 * at);
                    }
                    ++at;
                };
                for (std::int64_t s = 0; s < n; ++s) search.each_pair(p, segments[s], write);
                next[p - task.begin] = at;
            }
        }
        for (std::int32_t p = task.begin; p < task.end; ++p) {
            if (next[p - task.begin] == pairs.offsets[cells.atom[p] + 1]) continue;
            throw std::logic_error("find_pairs: counting and filling disagree; please report this");
        }
    });
    return pairs;
}

}  // namespace miniffx
