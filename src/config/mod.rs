//! Files to meaning.

/// Phone plugins: directories of match rules, file maps and templates.
pub mod plugins;
