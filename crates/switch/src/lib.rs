//! OpenFlow tables, upcalls, revalidation, controllers: one bridge as a controller sees it.
