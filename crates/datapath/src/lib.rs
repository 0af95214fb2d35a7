//! The datapath trait; datapath keys and actions and their text forms.
