#include "miniffx/rows.hpp"

#include <algorithm>
#include <limits>
#include <stdexcept>
#include <string>

#include "for_each_center.hpp"
#include "found.hpp"
#include "near_slots.hpp"
#include "parallel_for.hpp"
#include "past_caches.hpp"
#include "text.hpp"

namespace miniffx {
namespace {

using Kind = std::array<std::int32_t, 3>;

void check_triples(const Found& found, double cutoff, const Kind& kind, std::int64_t n_species) {
    if (!(cutoff >= 0 && cutoff <= found.cutoff)) {
        throw std::invalid_argument(
            "`triple_cutoff` must be 0 (no triples) or positive, and not exceed the cutoff of the pairs (" +
            text_of(found.cutoff, 17) + "), got " + text_of(cutoff, 17));
    }
    if (!(0 <= kind[0] && kind[0] < n_species && 0 <= kind[1] && kind[1] <= kind[2] && kind[2] < n_species)) {
        throw std::invalid_argument("`triple_kinds` must be species (A, B, C) below " + std::to_string(n_species) +
                                    " with B <= C, got (" + std::to_string(kind[0]) + ", " + std::to_string(kind[1]) +
                                    ", " + std::to_string(kind[2]) + ")");
    }
}

void check_species(const Found& found, const std::int32_t* species, std::int64_t n_species) {
    for (std::int64_t i = 0; i < found.n_atoms; ++i) {
        if (species[i] < n_species) continue;
        throw std::invalid_argument("`species` must be below the number of species, " + std::to_string(n_species) +
                                    ", got " + std::to_string(species[i]) + " for atom " + std::to_string(i));
    }
}

std::int32_t most_neighbors(const Found& found) {
    std::int32_t most = 0;
    for (const std::int32_t count : found.counts) most = std::max(most, count);
    return most;
}

// Whether all atoms are of species 0: no species then has to be looked up.
bool is_single(const Found& found, const std::int32_t* species, std::size_t n_species) {
    return n_species == 1 && std::all_of(species, species + found.n_atoms, [](std::int32_t s) { return s == 0; });
}

// One thread's view of the neighbours of one centre: the displacement in each column, and those near enough for
// triples.
struct alignas(128) Worker {
    Worker(const Found& found, std::int64_t n_columns, std::size_t n_species, double triple_cutoff, bool closed)
        : reader(found),
          displacement(static_cast<std::size_t>(n_columns)),
          group(n_species + 1),
          staged(4 * std::min(static_cast<std::size_t>(n_columns), kMostStaged)),
          near(n_columns, triple_cutoff, closed) {}

    FoundReader reader;
    std::vector<Vector> displacement;
    std::vector<std::int64_t> group;   // near slots of species B: group[B] ... group[B + 1] - 1
    std::vector<std::int32_t> staged;  // a row on its way past the caches
    NearSlots near;
    bool overflow = false;
};

// Near slots among the written columns, grouped by species, which begin and end at begin[B] and end[B].
template <class Begin, class Count>
void collect_near(Worker& worker, const Begin& begin, const Count& count) {
    worker.near.clear();
    for (std::size_t b = 0; b + 1 < worker.group.size(); ++b) {
        worker.group[b] = worker.near.size();
        for (std::int64_t column = begin(b); column < begin(b) + count(b); ++column) {
            const Vector& d = worker.displacement[static_cast<std::size_t>(column)];
            worker.near.add(column, d.x, d.y, d.z);
        }
    }
    worker.group.back() = worker.near.size();
}

// visit(a, begin, end) for every near slot a of species B with the range of slots of species C to combine it
// with.
template <class Visit>
void combine(const Worker& worker, const Kind& kind, const Visit& visit) {
    const auto b = static_cast<std::size_t>(kind[1]), c = static_cast<std::size_t>(kind[2]);
    for (std::int64_t a = worker.group[b]; a < worker.group[b + 1]; ++a) {
        visit(a, b == c ? a + 1 : worker.group[c], worker.group[c + 1]);
    }
}

// Writes the shift of a pair.
inline void write(std::int32_t* to, const std::int32_t* shift) {
    to[0] = shift[0];
    to[1] = shift[1];
    to[2] = shift[2];
}

// Where the pairs of one centre go.
struct PairSlots {
    std::int32_t *neighbors, *shifts, *counts;  // [K], [K, 3], [S]
};

PairSlots slots_of(const RowTarget& target, std::size_t n_species, std::int64_t row) {
    const std::int64_t width = target.columns[n_species];
    return {target.neighbors + row * width, target.shifts + row * width * 3,
            target.counts + row * static_cast<std::int64_t>(n_species)};
}

// Fills what the counts leave of a row with padding.
void pad(const std::int32_t* columns, std::size_t n_species, const PairSlots& row, std::int32_t center) {
    for (std::size_t b = 0; b < n_species; ++b) {
        const std::int64_t first = std::int64_t{columns[b]} + row.counts[b], room = columns[b + 1] - first;
        std::fill_n(row.neighbors + first, room, center);
        std::fill_n(row.shifts + 3 * first, 3 * room, 0);
    }
}

// Writes the pairs of the centre at place p, and the displacements if `keep`. `single`: all atoms are of the one
// species that there is.
void fill_pairs(const Found& found, const std::int32_t* species, const std::int32_t* columns, std::size_t n_species,
                const PairSlots& row, std::int32_t p, bool single, bool keep, Worker& worker) {
    const auto [neighbors, shifts, counts] = row;
    const CellList::Exact center = found.cells.exact[p];
    Vector* const displacements = worker.displacement.data();
    if (single && found.counts[p] <= columns[n_species]) {
        counts[0] = found.counts[p];
        worker.reader.each(p, [=, neighbors = row.neighbors, shifts = row.shifts](
                                  std::int32_t k, const CellList::Exact& to, const Image& image) {
            neighbors[k] = to.atom;
            write(shifts + 3 * k, image.shift);
            if (keep) displacements[k] = displacement(center, to, image);
        });
    } else {
        std::fill_n(counts, n_species, 0);
        bool overflow = false;
        worker.reader.each(p, [&](std::int32_t, const CellList::Exact& to, const Image& image) {
            const std::int32_t b = species[to.atom];
            if (b < 0) return;
            const std::int32_t column = columns[b] + counts[b];
            if (column >= columns[b + 1]) {
                overflow = true;
                return;
            }
            ++counts[b];
            neighbors[column] = to.atom;
            write(shifts + 3 * std::int64_t{column}, image.shift);
            if (keep) displacements[column] = displacement(center, to, image);
        });
        worker.overflow = worker.overflow || overflow;
    }
    pad(columns, n_species, row, center.atom);
}

// Writes one row's triples of one kind from the near slots.
void fill_triples(const TripleTarget& target, std::int64_t row, Worker& worker) {
    NearSlots& near = worker.near;
    std::int32_t* first = target.first + row * target.capacity;
    std::int32_t* second = target.second + row * target.capacity;
    std::int64_t count = 0;
    bool overflow = false;
    combine(worker, target.kind, [&](std::int64_t a, std::int64_t begin, std::int64_t end) {
        std::int64_t found = near.find_joined(a, begin, end);
        const std::int64_t room = target.capacity - count;
        overflow = overflow || found > room;
        found = std::min(found, room);
        for (std::int64_t k = 0; k < found; ++k) {
            first[count + k] = static_cast<std::int32_t>(near.slot(a));
            second[count + k] = static_cast<std::int32_t>(near.joined()[k]);
        }
        count += found;
    });
    std::fill(first + count, first + target.capacity, 0);
    std::fill(second + count, second + target.capacity, 0);
    target.count[row] = static_cast<std::int32_t>(count);
    worker.overflow = worker.overflow || overflow;
}

std::int32_t to_capacity(std::int64_t count) {
    if (count > std::numeric_limits<std::int32_t>::max()) {
        throw std::invalid_argument("`triple_cutoff` must leave fewer than 2^31 triples per atom, got " +
                                    std::to_string(count));
    }
    return static_cast<std::int32_t>(count);
}

// Where the rows of all atoms are.
struct RowOf {
    std::int32_t target = -1, row = 0;
};

// Which row belongs to each atom. Rows that belong to none, and atoms that are in no cell list, get padding at once.
std::vector<RowOf> assign_rows(const Found& found, const std::vector<RowTarget>& rows,
                               const std::vector<TripleTarget>& triples) {
    std::vector<char> present(static_cast<std::size_t>(found.n_atoms), 0);
    for (std::int64_t p = 0; p < found.cells.n_atoms; ++p) {
        present[static_cast<std::size_t>(found.cells.exact[p].atom)] = 1;
    }
    std::vector<RowOf> row_of(static_cast<std::size_t>(found.n_atoms));
    for (std::size_t a = 0; a < rows.size(); ++a) {
        const RowTarget& target = rows[a];
        for (std::int64_t row = 0; row < target.n_rows; ++row) {
            const std::int32_t center = target.centers[row];
            const bool atom = center >= 0 && center < found.n_atoms;
            if (atom && row_of[static_cast<std::size_t>(center)].target >= 0) {
                throw std::invalid_argument("`centers` must hold each atom once, got atom " + std::to_string(center) +
                                            " again");
            }
            if (atom && present[static_cast<std::size_t>(center)] != 0) {
                row_of[static_cast<std::size_t>(center)] = {static_cast<std::int32_t>(a),
                                                            static_cast<std::int32_t>(row)};
                continue;
            }
            std::fill_n(target.counts + row * static_cast<std::int64_t>(rows.size()), rows.size(), 0);
            pad(target.columns, rows.size(), slots_of(target, rows.size(), row), atom ? center : 0);
            for (const TripleTarget& triple : triples) {
                if (triple.kind[0] != static_cast<std::int32_t>(a)) continue;
                std::fill_n(triple.first + row * triple.capacity, triple.capacity, 0);
                std::fill_n(triple.second + row * triple.capacity, triple.capacity, 0);
                triple.count[row] = 0;
            }
        }
    }
    return row_of;
}

// body(place, end, worker) as in for_each_center.hpp.
template <class Body>
void for_each_center(const Found& found, std::vector<Worker>& workers, int parts, const Body& body) {
    const auto worker = [&](int thread) -> Worker& { return workers[static_cast<std::size_t>(thread)]; };
    for_each_center(
        found, static_cast<int>(workers.size()), parts,
        [&](int thread) -> FoundReader& { return worker(thread).reader; },
        [&](const std::int32_t* place, const std::int32_t* end, int thread) { body(place, end, worker(thread)); });
}

std::vector<Worker> make_workers(const Found& found, std::int64_t n_columns, std::size_t n_species,
                                 double triple_cutoff, bool closed, int threads) {
    threads = thread_count(threads, found.cells.n_atoms, 512);
    const Worker worker(found, n_columns, n_species, triple_cutoff, closed);
    return {static_cast<std::size_t>(threads), worker};
}

}  // namespace

std::vector<std::int64_t> list_centers(std::int64_t n_atoms, const std::int32_t* species,
                                       const std::vector<std::int64_t>& sizes,
                                       const std::vector<std::int32_t*>& centers) {
    std::vector<std::int64_t> counts(sizes.size(), 0);
    for (std::int64_t i = 0; i < n_atoms; ++i) {
        if (species[i] < 0 || static_cast<std::size_t>(species[i]) >= sizes.size()) continue;
        const auto a = static_cast<std::size_t>(species[i]);
        if (counts[a] < sizes[a]) centers[a][counts[a]] = static_cast<std::int32_t>(i);
        ++counts[a];
    }
    for (std::size_t a = 0; a < sizes.size(); ++a) {
        std::fill(centers[a] + std::min(counts[a], sizes[a]), centers[a] + sizes[a],
                  static_cast<std::int32_t>(n_atoms));
    }
    return counts;
}

bool fill_rows(const Neighbors& neighbors, const std::int32_t* species, const std::vector<RowTarget>& rows,
               const std::vector<TripleTarget>& triples, double triple_cutoff, bool closed, int threads) {
    const Found& found = *neighbors;
    const std::size_t n_species = rows.size();
    check_species(found, species, static_cast<std::int64_t>(n_species));
    check_triples(found, triple_cutoff, {0, 0, 0}, 1);
    for (const TripleTarget& target : triples) {
        check_triples(found, triple_cutoff, target.kind, static_cast<std::int64_t>(n_species));
        if (target.capacity < 0 || target.capacity > std::numeric_limits<std::int32_t>::max()) {
            throw std::invalid_argument("`triple_capacity` must be between 0 and 2^31 - 1, got " +
                                        std::to_string(target.capacity));
        }
    }
    std::int64_t widest = 0;
    for (const RowTarget& target : rows) {
        bool ascending = target.columns[0] == 0;
        for (std::size_t b = 0; b < n_species; ++b) {
            ascending = ascending && target.columns[b] <= target.columns[b + 1];
        }
        if (!ascending) throw std::invalid_argument("`columns` must start at 0 and ascend in every row");
        widest = std::max<std::int64_t>(widest, target.columns[n_species]);
    }
    std::vector<std::vector<const TripleTarget*>> kinds(n_species);
    for (const TripleTarget& target : triples) kinds[static_cast<std::size_t>(target.kind[0])].push_back(&target);
    const bool single = is_single(found, species, n_species);
    const std::vector<RowOf> row_of = assign_rows(found, rows, triples);
    std::vector<Worker> workers = make_workers(found, widest, n_species, triple_cutoff, closed, threads);
    const bool past_caches =
        kRowBytes * static_cast<double>(widest) * static_cast<double>(found.n_atoms) >= kCacheBytes;
    const int parts = past_caches ? 1 : static_cast<int>(workers.size());
    for_each_center(found, workers, parts, [&](const std::int32_t* at, const std::int32_t* end, Worker& mine) {
        const auto place_of = [&](std::int32_t p) -> const RowOf& {
            return row_of[static_cast<std::size_t>(found.cells.exact[p].atom)];
        };
        if (at + kAhead < end) prefetch(&place_of(at[kAhead]));
        if (at + kSoon < end) {
            if (past_caches) prefetch_neighbors(found, at[kSoon]);
            const RowOf soon = place_of(at[kSoon]);
            if (soon.target >= 0) {
                const RowTarget& target = rows[static_cast<std::size_t>(soon.target)];
                const PairSlots row = slots_of(target, n_species, soon.row);
                const std::int64_t width = target.columns[n_species];
                if (past_caches) {  // only the lines that are shared with another row
                    for (const std::int64_t k : {std::int64_t{0}, width}) {
                        prefetch_to_write(row.neighbors + k, 1);
                        prefetch_to_write(row.shifts + 3 * k, 1);
                    }
                } else {
                    prefetch_to_write(row.neighbors, width);
                    prefetch_to_write(row.shifts, 3 * width);
                }
                prefetch_to_write(row.counts, static_cast<std::ptrdiff_t>(n_species));
            }
        }
        const std::int32_t p = *at;
        const RowOf place = place_of(p);
        if (place.target >= 0) {
            const auto a = static_cast<std::size_t>(place.target);
            const std::int32_t* const columns = rows[a].columns;
            const auto width = static_cast<std::size_t>(columns[n_species]);
            const PairSlots row = slots_of(rows[a], n_species, place.row);
            const bool stage = past_caches && width <= kMostStaged;
            const PairSlots now = stage ? PairSlots{mine.staged.data(), mine.staged.data() + width, row.counts} : row;
            fill_pairs(found, species, columns, n_species, now, p, single, !kinds[a].empty(), mine);
            if (stage) {
                copy_past_caches(row.neighbors, now.neighbors, width * sizeof *now.neighbors);
                copy_past_caches(row.shifts, now.shifts, 3 * width * sizeof *now.shifts);
            }
            if (!kinds[a].empty()) {
                collect_near(
                    mine, [&](std::size_t b) { return columns[b]; }, [&](std::size_t b) { return row.counts[b]; });
                for (const TripleTarget* kind : kinds[a]) fill_triples(*kind, place.row, mine);
            }
        }
        if (past_caches && at + 1 == end) finish_copies();
    });
    return std::any_of(workers.begin(), workers.end(), [](const Worker& worker) { return worker.overflow; });
}

RowCounts count_rows(const Neighbors& neighbors, const std::int32_t* species, std::int32_t n_species,
                     const std::vector<Kind>& kinds, double triple_cutoff, bool closed, int threads) {
    const Found& found = *neighbors;
    if (n_species < 0) {
        throw std::invalid_argument("`n_species` must not be negative, got " + std::to_string(n_species));
    }
    check_species(found, species, n_species);
    check_triples(found, triple_cutoff, {0, 0, 0}, 1);
    for (const Kind& kind : kinds) check_triples(found, triple_cutoff, kind, n_species);
    const auto n = static_cast<std::size_t>(n_species);
    const bool no_triples = kinds.empty() || triple_cutoff == 0;
    if (no_triples && is_single(found, species, n)) {
        return {{static_cast<std::int32_t>(found.n_atoms)},
                {most_neighbors(found)},
                std::vector<std::int32_t>(kinds.size())};
    }

    struct alignas(128) Counter {
        std::vector<std::int64_t> begin, count, pair_max, triple_max;
        std::vector<Vector> unsorted;
        std::vector<std::int32_t> kind_of;
    };
    const auto most = static_cast<std::size_t>(most_neighbors(found));
    std::vector<Worker> workers =
        make_workers(found, static_cast<std::int64_t>(most), n, triple_cutoff, closed, threads);
    std::vector<Counter> counters(
        workers.size(),
        Counter{std::vector<std::int64_t>(n), std::vector<std::int64_t>(n), std::vector<std::int64_t>(n * n),
                std::vector<std::int64_t>(kinds.size()), std::vector<Vector>(most), std::vector<std::int32_t>(most)});
    for_each_center(found, workers, 1, [&](const std::int32_t* place, const std::int32_t*, Worker& worker) {
        const std::int32_t p = *place, atom = found.cells.exact[p].atom;
        if (species[atom] < 0) return;
        Counter& mine = counters[static_cast<std::size_t>(&worker - workers.data())];
        std::fill(mine.count.begin(), mine.count.end(), 0);
        const CellList::Exact& center = found.cells.exact[p];
        worker.reader.each(p, [&](std::int32_t k, const CellList::Exact& to, const Image& image) {
            const std::int32_t b = species[to.atom];
            mine.kind_of[static_cast<std::size_t>(k)] = b;
            if (b >= 0) ++mine.count[static_cast<std::size_t>(b)];
            if (!no_triples) mine.unsorted[static_cast<std::size_t>(k)] = displacement(center, to, image);
        });
        std::int64_t* pair_max = mine.pair_max.data() + static_cast<std::size_t>(species[atom]) * n;
        std::int64_t next = 0;
        for (std::size_t b = 0; b < n; ++b) {
            pair_max[b] = std::max(pair_max[b], mine.count[b]);
            mine.begin[b] = next;
            next += mine.count[b];
        }
        if (no_triples) return;

        std::fill(mine.count.begin(), mine.count.end(), 0);
        for (std::size_t k = 0; k < static_cast<std::size_t>(found.counts[p]); ++k) {
            if (mine.kind_of[k] < 0) continue;
            const auto b = static_cast<std::size_t>(mine.kind_of[k]);
            worker.displacement[static_cast<std::size_t>(mine.begin[b] + mine.count[b]++)] = mine.unsorted[k];
        }
        collect_near(
            worker, [&](std::size_t b) { return mine.begin[b]; }, [&](std::size_t b) { return mine.count[b]; });
        for (std::size_t m = 0; m < kinds.size(); ++m) {
            if (kinds[m][0] != species[atom]) continue;
            std::int64_t count = 0;
            combine(worker, kinds[m], [&](std::int64_t a, std::int64_t begin, std::int64_t end) {
                count += worker.near.count_joined(a, begin, end);
            });
            mine.triple_max[m] = std::max(mine.triple_max[m], count);
        }
    });

    RowCounts result{std::vector<std::int32_t>(n), std::vector<std::int32_t>(n * n),
                     std::vector<std::int32_t>(kinds.size())};
    for (std::int64_t i = 0; i < found.n_atoms; ++i) {
        if (species[i] >= 0) ++result.rows[static_cast<std::size_t>(species[i])];
    }
    for (const Counter& counter : counters) {
        for (std::size_t k = 0; k < n * n; ++k) {
            result.pair_max[k] = std::max(result.pair_max[k], to_capacity(counter.pair_max[k]));
        }
        for (std::size_t m = 0; m < kinds.size(); ++m) {
            result.triple_max[m] = std::max(result.triple_max[m], to_capacity(counter.triple_max[m]));
        }
    }
    return result;
}

}  // namespace miniffx
