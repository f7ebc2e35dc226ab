#include "grid.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "vec3.hpp"

namespace miniffx {
namespace {

constexpr double kAtomsPerFineBin = 12;  // gathering what is around a bin pays from so many atoms in it
constexpr std::int64_t kMostBins = std::int64_t{1} << 20;  // per axis: three of them fit into a 64-bit key

struct Interval {
    double low, high;
};

Interval operator+(Interval u, Interval v) { return {u.low + v.low, u.high + v.high}; }
Interval operator*(double a, Interval u) {
    return a >= 0 ? Interval{a * u.low, a * u.high} : Interval{a * u.high, a * u.low};
}
double distance_to_zero(Interval u) { return std::max({u.low, -u.high, 0.0}); }

// Bins as wide as the cutoff over `divisions`, or a little wider, but not narrower even by round-off: a bin as wide
// as the cutoff then sees just one on either side.
Grid choose_bins(const Box& box, const Extent& extent, const Reach& reach, double divisions) {
    Grid grid{};
    for (int k = 0; k < 3; ++k) {
        const double width = (reach.along[k] * (1 + 1e-6) + 2 * reach.margin[k]) / divisions;
        const bool periodic = k < box.n_periodic;
        const double length = periodic ? 1 : extent.high[k] - extent.low[k];
        const double count = periodic ? std::floor(length / width) : std::floor(length / width) + 1;
        grid.bins[k] = static_cast<std::int64_t>(std::clamp(count, 1.0, static_cast<double>(kMostBins)));
        grid.low[k] = periodic ? 0 : extent.low[k];
        grid.step[k] = periodic ? 1 / static_cast<double>(grid.bins[k])
                                : std::max(width, length / static_cast<double>(grid.bins[k]));
    }
    return grid;
}

}  // namespace

double Grid::size() const {
    return static_cast<double>(bins[0]) * static_cast<double>(bins[1]) * static_cast<double>(bins[2]);
}

Grid choose_grid(const Box& box, std::int64_t n_atoms, const Extent& extent, const Reach& reach) {
    for (const double divisions : {3.0, 2.0}) {
        const Grid grid = choose_bins(box, extent, reach, divisions);
        if (grid.size() * kAtomsPerFineBin <= static_cast<double>(n_atoms)) return grid;
    }
    return choose_bins(box, extent, reach, 1);
}

// Bounds in a Cartesian frame in which the search axes are triangular: axis 2 alone decides the third
// component, axes 1 and 2 the second. Every bound holds for any two points of the two bins.
std::vector<StencilRow> build_stencil(const Box& box, double cutoff, const Grid& grid, const Reach& reach) {
    std::vector<StencilRow> stencil;
    double frame[3][3];
    double triangle[3][3] = {};  // triangle[k][m] = axis[k] . frame[m]
    for (int k = 0; k < 3; ++k) {
        std::copy(box.axis[k], box.axis[k] + 3, frame[k]);
        for (int m = 0; m < k; ++m) {
            triangle[k][m] = dot(box.axis[k], frame[m]);
            const double overlap = dot(frame[k], frame[m]);
            for (int c = 0; c < 3; ++c) frame[k][c] -= overlap * frame[m][c];
        }
        triangle[k][k] = norm(frame[k]);
        for (int c = 0; c < 3; ++c) frame[k][c] /= triangle[k][k];
    }

    const double radius = cutoff * (1 + 1e-9);
    const auto across = [](double square) { return std::sqrt(std::max(square, 0.0)); };
    // Bins d along axis k such that some difference of coordinates lies in `wanted`.
    const auto offsets = [&](int k, Interval wanted) {
        constexpr double kTiny = 1e-8;  // of a bin: rounding in the bin index itself
        double low = std::ceil((wanted.low - reach.margin[k]) / grid.step[k] - 1 - kTiny);
        double high = std::floor((wanted.high + reach.margin[k]) / grid.step[k] + 1 + kTiny);
        if (k >= box.n_periodic) {
            const auto most = static_cast<double>(grid.bins[k] - 1);
            low = std::max(low, -most);
            high = std::min(high, most);
        }
        return std::pair<std::int64_t, std::int64_t>(static_cast<std::int64_t>(low), static_cast<std::int64_t>(high));
    };
    const auto difference = [&](int k, std::int64_t d) {
        const auto centre = static_cast<double>(d) * grid.step[k];
        const double half = grid.step[k] * (1 + 1e-8) + reach.margin[k];
        return Interval{centre - half, centre + half};
    };
    // Differences along axis k for which triangle[k][k] * difference + rest can be in [-r, r].
    const auto wanted = [&](int k, Interval rest, double r) {
        return Interval{(-r - rest.high) / triangle[k][k], (r - rest.low) / triangle[k][k]};
    };

    const auto range2 = offsets(2, wanted(2, {0, 0}, radius));
    for (std::int64_t d2 = range2.first; d2 <= range2.second; ++d2) {
        const Interval f2 = difference(2, d2);
        const double gap2 = distance_to_zero(triangle[2][2] * f2);
        const double radius1 = across(radius * radius - gap2 * gap2);
        const auto range1 = offsets(1, wanted(1, triangle[2][1] * f2, radius1));
        for (std::int64_t d1 = range1.first; d1 <= range1.second; ++d1) {
            const Interval f1 = difference(1, d1);
            const double gap1 = distance_to_zero(triangle[1][1] * f1 + triangle[2][1] * f2);
            if (gap1 > radius1) continue;
            const double radius0 = across(radius1 * radius1 - gap1 * gap1);
            const auto range0 = offsets(0, wanted(0, triangle[1][0] * f1 + triangle[2][0] * f2, radius0));
            if (range0.first > range0.second) continue;
            stencil.push_back({d2, d1, range0.first, range0.second});
        }
    }
    return stencil;
}

}  // namespace miniffx
