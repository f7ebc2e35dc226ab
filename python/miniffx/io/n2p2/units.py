"""Units of files that do not name theirs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Units:
    """What 1 in a file is: `length` in Å, `energy` in eV, with the names of the units."""

    length: float
    energy: float
    names: tuple[str, str]

    @classmethod
    def named(cls, length_unit: str, energy_unit: str) -> Units:
        """Units by name: "bohr" or "angstrom", "hartree" or "ev", in any case. The values are those of ASE.

        Raises:
            ValueError: another name.
        """
        from ase import units

        lengths, energies = {"angstrom": 1.0, "bohr": units.Bohr}, {"ev": 1.0, "hartree": units.Hartree}
        for name, value, table in (("length_unit", length_unit, lengths), ("energy_unit", energy_unit, energies)):
            if not isinstance(value, str) or value.lower() not in table:
                raise ValueError(f"`{name}` must be {' or '.join(map(repr, table))}, got {value!r}")
        length_name, energy_name = length_unit.lower(), energy_unit.lower()
        return cls(float(lengths[length_name]), float(energies[energy_name]), (length_name, energy_name))
