// The neighbour list inside jit: an XLA FFI handler that searches and fills padded rows on the CPU, without Python.
//
// Arguments: positions [n, 3] and cell [3, 3] (float32 or float64), species [n] (int32), then the centres of every
// species (int32). Results: overflow (bool), then for every species neighbors, shifts and counts, then for every kind
// of triple first, second and count (int32), all as in miniffx/rows.hpp. Input that the core refuses (numbers that are
// not finite, a singular cell, more pairs than memory) sets overflow and leaves no neighbours: inside jit nothing can
// be raised.

#include "xla.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <exception>
#include <stdexcept>
#include <string>
#include <vector>

#include "miniffx/pairs.hpp"
#include "miniffx/rows.hpp"
#include "xla/ffi/api/ffi.h"

namespace {

namespace ffi = xla::ffi;
using Ints = ffi::Span<const std::int64_t>;

// The numbers of a buffer in double precision: as they are, or converted into `own`. Null for other types.
const double* as_doubles(const ffi::AnyBuffer& buffer, std::vector<double>& own) {
    if (buffer.element_type() == ffi::DataType::F64) return buffer.typed_data<double>();
    if (buffer.element_type() != ffi::DataType::F32) return nullptr;
    own.assign(buffer.typed_data<float>(), buffer.typed_data<float>() + buffer.element_count());
    return own.data();
}

// The results as they come, one after the other, each of a size that is known.
class Outputs {
  public:
    explicit Outputs(ffi::RemainingRets results) : results_(results) {}

    std::int32_t* next(std::size_t size) {
        auto result = results_.get<ffi::AnyBuffer>(index_++);
        if (!result.has_value() || (*result)->element_type() != ffi::DataType::S32 ||
            (*result)->element_count() != size) {
            throw std::invalid_argument("result " + std::to_string(index_) + " must be " + std::to_string(size) +
                                        " int32 numbers");
        }
        return (*result)->typed_data<std::int32_t>();
    }

    void clear() {
        for (std::size_t k = 0; k < results_.size(); ++k) {
            auto result = results_.get<ffi::AnyBuffer>(k);
            std::fill_n((*result)->typed_data<std::int32_t>(), (*result)->element_count(), 0);
        }
    }

  private:
    ffi::RemainingRets results_;
    std::size_t index_ = 0;
};

ffi::Error update(ffi::AnyBuffer positions, ffi::AnyBuffer cell, ffi::Buffer<ffi::DataType::S32> species,
                  ffi::RemainingArgs centers, ffi::Result<ffi::Buffer<ffi::DataType::PRED>> overflow,
                  ffi::RemainingRets results, Ints pbc, double cutoff, double triple_cutoff, bool closed, Ints columns,
                  Ints triple_kinds, Ints triple_capacity) {
    try {
        const std::size_t n_species = centers.size();
        const std::size_t n_kinds = triple_capacity.size();
        const std::size_t n_atoms = species.element_count();
        std::vector<double> own_positions, own_cell;
        const double* const r = as_doubles(positions, own_positions);
        const double* const lattice = as_doubles(cell, own_cell);
        const bool are_numbers = (r != nullptr || n_atoms == 0) && lattice != nullptr;
        if (!are_numbers || cell.element_count() != 9 || pbc.size() != 3 || positions.element_count() != 3 * n_atoms ||
            columns.size() != n_species * (n_species + 1) || triple_kinds.size() != 3 * n_kinds ||
            results.size() != 3 * (n_species + n_kinds)) {
            return ffi::Error::InvalidArgument("miniffx: arguments do not fit together");
        }
        const std::vector<std::int32_t> offsets(columns.begin(), columns.end());
        const std::array<bool, 3> periodic{pbc[0] != 0, pbc[1] != 0, pbc[2] != 0};

        Outputs outputs(results);
        std::vector<miniffx::RowTarget> rows;
        for (std::size_t a = 0; a < n_species; ++a) {
            const auto buffer = centers.get<ffi::Buffer<ffi::DataType::S32>>(a);
            if (!buffer.has_value()) return ffi::Error::InvalidArgument("miniffx: centres must be int32");
            const std::size_t n_rows = buffer->element_count();
            const std::int32_t* const first_column = offsets.data() + a * (n_species + 1);
            const std::size_t width = static_cast<std::size_t>(first_column[n_species]);
            std::int32_t* const neighbors = outputs.next(n_rows * width);
            std::int32_t* const shifts = outputs.next(n_rows * width * 3);
            std::int32_t* const counts = outputs.next(n_rows * n_species);
            rows.push_back(
                {static_cast<std::int64_t>(n_rows), buffer->typed_data(), first_column, neighbors, shifts, counts});
        }
        std::vector<miniffx::TripleTarget> triples;
        for (std::size_t m = 0; m < n_kinds; ++m) {
            std::array<std::int32_t, 3> kind{};
            for (std::size_t k = 0; k < 3; ++k) kind[k] = static_cast<std::int32_t>(triple_kinds[3 * m + k]);
            const std::size_t n_rows = static_cast<std::size_t>(rows.at(static_cast<std::size_t>(kind[0])).n_rows);
            const std::size_t capacity = static_cast<std::size_t>(triple_capacity[m]);
            std::int32_t* const first = outputs.next(n_rows * capacity);
            std::int32_t* const second = outputs.next(n_rows * capacity);
            std::int32_t* const count = outputs.next(n_rows);
            triples.push_back({kind, triple_capacity[m], first, second, count});
        }
        bool& overflowed = *overflow->typed_data();
        const auto refuse = [&] {
            overflowed = true;
            outputs.clear();
        };
        try {
            const miniffx::Neighbors neighbors = miniffx::find_neighbors(static_cast<std::int64_t>(n_atoms), r, lattice,
                                                                         periodic.data(), cutoff, species.typed_data());
            overflowed = miniffx::fill_rows(neighbors, species.typed_data(), rows, triples, triple_cutoff, closed);
        } catch (const std::invalid_argument&) {
            refuse();
        } catch (const std::bad_alloc&) {  // so many pairs that no list would hold them
            refuse();
        }
        return ffi::Error::Success();
    } catch (const std::exception& error) {
        return ffi::Error::Internal(std::string("miniffx: ") + error.what());
    }
}

XLA_FFI_DEFINE_HANDLER(handler, update,
                       ffi::Ffi::Bind()
                           .Arg<ffi::AnyBuffer>()
                           .Arg<ffi::AnyBuffer>()
                           .Arg<ffi::Buffer<ffi::DataType::S32>>()
                           .RemainingArgs()
                           .Ret<ffi::Buffer<ffi::DataType::PRED>>()
                           .RemainingRets()
                           .Attr<Ints>("pbc")
                           .Attr<double>("cutoff")
                           .Attr<double>("triple_cutoff")
                           .Attr<bool>("closed")
                           .Attr<Ints>("columns")
                           .Attr<Ints>("triple_kinds")
                           .Attr<Ints>("triple_capacity"));

}  // namespace

namespace miniffx {

void* xla_update_handler() { return reinterpret_cast<void*>(handler); }

std::string xla_ffi_version() { return std::to_string(XLA_FFI_API_MAJOR) + "." + std::to_string(XLA_FFI_API_MINOR); }

}  // namespace miniffx
