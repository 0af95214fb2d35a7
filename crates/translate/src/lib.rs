//! OpenFlow tables + packet -> datapath actions + mask + effects. Pure.
